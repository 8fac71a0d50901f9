"""The generated code of ``proto/constellation/``; ``make proto`` writes it anew."""
