"""Masks as a DICOM Segmentation object (PS3.3, A.51) that refers to the image they were drawn on."""

from __future__ import annotations

import hashlib
import unicodedata
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.dicom import DicomError, require
from model.dicom.header import DAMAGED, SPACINGS, check, ratio_and_spacing, read_header
from model.dicom.masks import Masks, in_source
from model.dicom.shape import shown_size
from model.imaging.decoding import MAX_PIXELS

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom.dataset import FileDataset

MAKER = "dsal"
SCHEME = "99DSAL"
"""Coding scheme of the labels: 99 marks a private one."""
UTF_8 = "ISO_IR 192"
CONTROLS = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories of characters that begin a line or control a device."""
LONGEST = 64
"""Characters of a label in the file (VR LO)."""
SERIES_NUMBER = 9000
"""Number of the new series: viewers sort it behind those of the device."""

# Attributes that every image must have, though the value may be empty (PS3.3, type 2). highdicom copies them
# to the segmentation and needs them present.
MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
PLACED = (
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
)
"""What places an image in the patient, as in CT and MR."""


def write_segmentation(
    masks: Masks,
    source: Path,
    out: Path,
    *,
    version: str | None = None,
    description: str = "dsal segmentation",
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Write masks as one binary DICOM Segmentation, one segment a label, in the order given.

    It belongs to the patient and the study of the source and refers to its image, so the file identifies the
    patient. Where the image has a place in a frame of reference, the segmentation has it too. Plain
    radiographs (CR, DX) have none: the segmentation then says nothing of planes and positions, and its masks
    lie in the pixel matrix of the image that each frame refers to.

    Args:
        masks: by label name, in the size that annotators saw or that of the source; may overlap. A label
            with an empty mask is a segment without pixels.
        source: the DICOM file of the image.
        out: the file to write.
        version: name of the version whose network drew the masks; None if people did.
        description: of the new series, in archives and viewers.
        max_pixels: largest image.

    Raises:
        DicomMissingError: the extra `dicom` is not installed.
        DicomError: the source cannot be referred to, or a mask has neither size.
        OSError: a file cannot be read or written.
    """
    require()
    from highdicom import UID
    from highdicom.seg import Segmentation, SegmentationTypeValues

    header = read_header(source, pixels=False)
    size, _ = check(header, max_pixels)
    own = in_source(masks, size, shown_size(size, ratio_and_spacing(header, [])[0]))
    image = _source(source)
    described = [_segment(number, label, version) for number, label in enumerate(own, start=1)]
    try:
        with warnings.catch_warnings():
            # They quote values of the source.
            warnings.simplefilter("ignore")
            _complete(image)
            segmentation = Segmentation(
                source_images=[image],
                pixel_array=np.stack([mask.astype(np.uint8) for mask in own.values()], axis=-1)[None],
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=described,
                series_instance_uid=UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=UID(),
                instance_number=1,
                manufacturer=MAKER,
                manufacturer_model_name=MAKER,
                software_versions=installed_version("dsal"),
                device_serial_number=MAKER,
                series_description=description,
                content_label="SEGMENTATION",
                omit_empty_frames=any(mask.any() for mask in own.values()),
            )
    # highdicom copies attributes of the source, and raises almost anything if one is wrong.
    except Exception as error:
        raise DicomError("No segmentation can refer to it: an attribute of its study is damaged.") from error
    # highdicom 0.27 does not copy it.
    segmentation.SpecificCharacterSet = UTF_8
    segmentation.save_as(out)


def _source(path: Path) -> FileDataset:
    """All attributes of the source, and pixels of which only the presence matters."""
    from pydicom import dcmread

    needed = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    try:
        image = dcmread(path)
        # pydicom converts a value when it is first asked for.
        missing = next((keyword for keyword in needed if not image.get(keyword)), None)
    except OSError:
        raise
    # Beyond what it documents, pydicom raises almost anything on hostile files.
    except Exception as error:
        raise DicomError(DAMAGED) from error
    if missing is not None:
        raise DicomError(f"It lacks the attribute {missing}, so no segmentation can refer to it.")
    return image


def _complete(image: FileDataset) -> None:
    """Make what highdicom copies of the source what it needs."""
    if not all(image.get(keyword) for keyword in PLACED):
        # Otherwise highdicom copies what there is, such as a spacing without a slice thickness, and then
        # cannot read its own file. Programs find it in the image, to which the masks refer pixel by pixel.
        for keyword in (*PLACED, *SPACINGS):
            image.pop(keyword, None)
    for keyword in MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, None)
    # In the character set of the source labels may not be writable; what highdicom copies must be decoded.
    image.decode()
    image.SpecificCharacterSet = UTF_8


def _long_string(text: str) -> str:
    """A text as VR LO holds it: without control characters, and without what separates two values."""
    kept = "".join(" " if unicodedata.category(each) in CONTROLS else each for each in text)
    return " ".join(kept.replace("\\", "/").split())[:LONGEST].strip()


def _segment(number: int, label: str, version: str | None) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes

    text = _long_string(label) or f"label {number}"
    code = hashlib.sha256(label.encode()).hexdigest()[:16].upper()
    named = None
    if version is not None:
        named = AlgorithmIdentificationSequence(
            name=MAKER, version=version[:LONGEST], family=codes.DCM.ArtificialIntelligence
        )
    kind = SegmentAlgorithmTypeValues.MANUAL if version is None else SegmentAlgorithmTypeValues.AUTOMATIC
    return SegmentDescription(
        segment_number=number,
        segment_label=text,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=CodedConcept(code, SCHEME, text),
        algorithm_type=kind,
        algorithm_identification=named,
        tracking_uid=None,
        tracking_id=None,
    )
