from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SignedManifest(_message.Message):
    __slots__ = ("manifest", "signatures")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    signatures: _containers.RepeatedCompositeFieldContainer[ManifestSignature]
    def __init__(self, manifest: _Optional[bytes] = ..., signatures: _Optional[_Iterable[_Union[ManifestSignature, _Mapping]]] = ...) -> None: ...

class ManifestSignature(_message.Message):
    __slots__ = ("key_id", "signature")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    signature: bytes
    def __init__(self, key_id: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("global_version", "published_at", "checksum", "rollback_of", "codebook_version", "bundles", "keys")
    GLOBAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_OF_FIELD_NUMBER: _ClassVar[int]
    CODEBOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    global_version: int
    published_at: int
    checksum: bytes
    rollback_of: int
    codebook_version: int
    bundles: _containers.RepeatedCompositeFieldContainer[ManifestEntry]
    keys: _containers.RepeatedCompositeFieldContainer[BundleKey]
    def __init__(self, global_version: _Optional[int] = ..., published_at: _Optional[int] = ..., checksum: _Optional[bytes] = ..., rollback_of: _Optional[int] = ..., codebook_version: _Optional[int] = ..., bundles: _Optional[_Iterable[_Union[ManifestEntry, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[BundleKey, _Mapping]]] = ...) -> None: ...

class ManifestEntry(_message.Message):
    __slots__ = ("name", "path", "sha256", "size_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    sha256: bytes
    size_bytes: int
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class BundleKey(_message.Message):
    __slots__ = ("key_id", "public_key", "status")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[BundleKey.Status]
        STATUS_CURRENT: _ClassVar[BundleKey.Status]
        STATUS_NEXT: _ClassVar[BundleKey.Status]
        STATUS_FORMER: _ClassVar[BundleKey.Status]
    STATUS_UNSPECIFIED: BundleKey.Status
    STATUS_CURRENT: BundleKey.Status
    STATUS_NEXT: BundleKey.Status
    STATUS_FORMER: BundleKey.Status
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    public_key: bytes
    status: BundleKey.Status
    def __init__(self, key_id: _Optional[str] = ..., public_key: _Optional[bytes] = ..., status: _Optional[_Union[BundleKey.Status, str]] = ...) -> None: ...

class PatternsBundle(_message.Message):
    __slots__ = ("id_deltas", "embeddings_int8", "success_rates", "masses", "sample_counts", "times_of_day", "days_of_week", "content_types", "genre_counts", "genres", "content_counts", "contents", "names")
    ID_DELTAS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_INT8_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATES_FIELD_NUMBER: _ClassVar[int]
    MASSES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_OF_DAY_FIELD_NUMBER: _ClassVar[int]
    DAYS_OF_WEEK_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    GENRE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    GENRES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_COUNTS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    id_deltas: _containers.RepeatedScalarFieldContainer[int]
    embeddings_int8: bytes
    success_rates: _containers.RepeatedScalarFieldContainer[float]
    masses: _containers.RepeatedScalarFieldContainer[float]
    sample_counts: _containers.RepeatedScalarFieldContainer[int]
    times_of_day: bytes
    days_of_week: bytes
    content_types: bytes
    genre_counts: bytes
    genres: _containers.RepeatedScalarFieldContainer[int]
    content_counts: bytes
    contents: _containers.RepeatedScalarFieldContainer[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id_deltas: _Optional[_Iterable[int]] = ..., embeddings_int8: _Optional[bytes] = ..., success_rates: _Optional[_Iterable[float]] = ..., masses: _Optional[_Iterable[float]] = ..., sample_counts: _Optional[_Iterable[int]] = ..., times_of_day: _Optional[bytes] = ..., days_of_week: _Optional[bytes] = ..., content_types: _Optional[bytes] = ..., genre_counts: _Optional[bytes] = ..., genres: _Optional[_Iterable[int]] = ..., content_counts: _Optional[bytes] = ..., contents: _Optional[_Iterable[int]] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class TrendsBundle(_message.Message):
    __slots__ = ("region", "references", "scores", "names")
    REGION_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    region: str
    references: _containers.RepeatedScalarFieldContainer[int]
    scores: bytes
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, region: _Optional[str] = ..., references: _Optional[_Iterable[int]] = ..., scores: _Optional[bytes] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class LinksBundle(_message.Message):
    __slots__ = ("reference_deltas", "related_counts", "related", "weights", "names")
    REFERENCE_DELTAS_FIELD_NUMBER: _ClassVar[int]
    RELATED_COUNTS_FIELD_NUMBER: _ClassVar[int]
    RELATED_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    reference_deltas: _containers.RepeatedScalarFieldContainer[int]
    related_counts: bytes
    related: _containers.RepeatedScalarFieldContainer[int]
    weights: bytes
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reference_deltas: _Optional[_Iterable[int]] = ..., related_counts: _Optional[bytes] = ..., related: _Optional[_Iterable[int]] = ..., weights: _Optional[bytes] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class ItemsBundle(_message.Message):
    __slots__ = ("ordinal_deltas", "items")
    ORDINAL_DELTAS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ordinal_deltas: _containers.RepeatedScalarFieldContainer[int]
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ordinal_deltas: _Optional[_Iterable[int]] = ..., items: _Optional[_Iterable[str]] = ...) -> None: ...

class CatalogueBundle(_message.Message):
    __slots__ = ("pages",)
    PAGES_FIELD_NUMBER: _ClassVar[int]
    pages: _containers.RepeatedCompositeFieldContainer[CataloguePageEntry]
    def __init__(self, pages: _Optional[_Iterable[_Union[CataloguePageEntry, _Mapping]]] = ...) -> None: ...

class CataloguePageEntry(_message.Message):
    __slots__ = ("first_ordinal", "content_count", "sha256", "size_bytes")
    FIRST_ORDINAL_FIELD_NUMBER: _ClassVar[int]
    CONTENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    first_ordinal: int
    content_count: int
    sha256: bytes
    size_bytes: int
    def __init__(self, first_ordinal: _Optional[int] = ..., content_count: _Optional[int] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class CataloguePage(_message.Message):
    __slots__ = ("ordinal_deltas", "content_ids", "titles", "years", "durations_min", "genre_counts", "genres", "genre_names", "embeddings_int8")
    ORDINAL_DELTAS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    TITLES_FIELD_NUMBER: _ClassVar[int]
    YEARS_FIELD_NUMBER: _ClassVar[int]
    DURATIONS_MIN_FIELD_NUMBER: _ClassVar[int]
    GENRE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    GENRES_FIELD_NUMBER: _ClassVar[int]
    GENRE_NAMES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_INT8_FIELD_NUMBER: _ClassVar[int]
    ordinal_deltas: _containers.RepeatedScalarFieldContainer[int]
    content_ids: _containers.RepeatedScalarFieldContainer[str]
    titles: _containers.RepeatedScalarFieldContainer[str]
    years: _containers.RepeatedScalarFieldContainer[int]
    durations_min: _containers.RepeatedScalarFieldContainer[int]
    genre_counts: bytes
    genres: _containers.RepeatedScalarFieldContainer[int]
    genre_names: _containers.RepeatedScalarFieldContainer[str]
    embeddings_int8: bytes
    def __init__(self, ordinal_deltas: _Optional[_Iterable[int]] = ..., content_ids: _Optional[_Iterable[str]] = ..., titles: _Optional[_Iterable[str]] = ..., years: _Optional[_Iterable[int]] = ..., durations_min: _Optional[_Iterable[int]] = ..., genre_counts: _Optional[bytes] = ..., genres: _Optional[_Iterable[int]] = ..., genre_names: _Optional[_Iterable[str]] = ..., embeddings_int8: _Optional[bytes] = ...) -> None: ...
