"""Names for shards."""

from __future__ import annotations

#: The best known first.
_NAMES = """
Vega Altair Deneb Sirius Canopus Arcturus Rigel Procyon Achernar Betelgeuse
Hadar Capella Acrux Aldebaran Antares Spica Pollux Fomalhaut Mimosa Regulus
Adhara Castor Shaula Bellatrix Elnath Miaplacidus Alnilam Alnair Alioth Dubhe
Mirfak Wezen Sargas Kaus Avior Alkaid Menkalinan Atria Alhena Peacock Alsephina
Mirzam Alphard Polaris Hamal Algieba Diphda Nunki Menkent Mirach Alpheratz
Rasalhague Kochab Saiph Denebola Algol Tiaki Muhlifain Aspidiske Suhail Alphecca
Mintaka Sadr Eltanin Schedar Naos Almach Caph Izar Larawag Merak Ankaa Girtab
Enif Scheat Sabik Phecda Aludra Markeb Aljanah Acrab Markab Menkar Zosma Arneb
Gienah Zubeneschamali Unukalhai Sheratan Phact Kraz Ruchbah Muphrid Hassaleh
Lesath Kaitos Tarazed Athebyne Yed Porrima Cebalrai Cursa Kornephoros Rastaban
"""

STARS = tuple(_NAMES.split())
