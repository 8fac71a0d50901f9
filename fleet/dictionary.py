"""What one TV reads and writes the binary wire with: a codebook, and items' names."""

from __future__ import annotations

from dataclasses import dataclass, field

from constellation.v1 import bundle_pb2
from fleet.bundles import Address, Get, Library
from fleet.codebook import Codebook
from fleet.errors import UnreadableReply
from fleet.items import Items


@dataclass
class Dictionary:
    """Empty at first: int8 and names need none."""

    library: Library = field(default_factory=Library)
    codebook: Codebook | None = None
    items: Items = field(default_factory=Items)
    #: The newest publication whose manifest was looked at.
    version: int = 0
    #: After a refusal, deltas are written in the plainest form until one is taken.
    is_put_aside: bool = False

    def read_up(self, address: Address, get: Get, *, with_items: bool) -> None:
        """Have the codebook of a publication, and with_items the names of its items.

        Does nothing for an older publication than was looked at before: signed once,
        but kept by somebody. A cache may keep news away, never take a TV back.
        """
        if address.version < self.version:
            return
        manifest = self.library.manifest(address, get)
        if manifest.codebook_version > self.codebook_version:
            self.codebook = self._codebook(manifest, address, get)
        if with_items:
            self.items = self.library.items(manifest, address.root, get) or Items()
        self.version = address.version

    @property
    def codebook_version(self) -> int:
        return self.codebook.version if self.codebook else 0

    def _codebook(
        self, manifest: bundle_pb2.Manifest, address: Address, get: Get
    ) -> Codebook:
        codebook = self.library.codebook(manifest, address.root, get)
        if codebook is None or codebook.version != manifest.codebook_version:
            raise UnreadableReply(
                f"publication {address.version} lacks codebook "
                f"{manifest.codebook_version}"
            )
        return codebook
