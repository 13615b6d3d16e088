"""The exception tree of intbert.

Every message says what is wrong, where, and what to do about it; the command line prints it as one line.
"""


class IntbertError(Exception):
    """Root of every error that intbert raises on purpose."""


class CheckpointError(IntbertError):
    """A float checkpoint is missing, damaged, or of an architecture that is not supported."""


class CalibrationError(IntbertError):
    """Calibration data cannot be read or holds nothing to calibrate on."""


class SchemeError(IntbertError):
    """A quantization scheme is unknown or contradicts itself."""


class QuantizedModelError(IntbertError):
    """A quantized model on disk is missing, damaged, or written by another schema version."""


class BoundsError(IntbertError):
    """An integer operator cannot be proven free of overflow."""


class TargetError(IntbertError):
    """A target does not exist, or its description is invalid."""


class ToolchainError(IntbertError):
    """A linker or compiler is missing or failed, or the TVM installation is not the pinned one."""


class ArtifactError(IntbertError):
    """An artifact is missing, damaged, or was built for another CPU."""


class InputError(IntbertError):
    """Input to a model is invalid: too long, out of the vocabulary, or of the wrong shape."""


class OutputError(IntbertError):
    """An output cannot be written: it exists already, or the disk is full."""


class DeviceError(IntbertError):
    """A device is unknown here, named twice, or its address or its file makes no sense."""


class RemoteError(IntbertError):
    """A remote machine refused, failed, or went away."""


class HostKeyError(RemoteError):
    """A machine's ssh host key is unknown, or is another than it was."""


class AuthenticationError(RemoteError):
    """A machine accepts none of the keys and passwords that were offered."""


class BusyError(RemoteError):
    """A board is in use by somebody else."""


class CrashError(RemoteError):
    """What ran on a board ended its process, for example by an illegal instruction."""


class NoAnswerError(RemoteError):
    """A board did not answer within the limit."""


class UnsuitableBoardError(RemoteError):
    """A board cannot run what was meant for it: its system, Python, C library or disk does not suffice."""


class EvaluationError(IntbertError):
    """Evaluation data is missing or malformed, or a model's outputs do not suit the task."""


class TrainingError(IntbertError):
    """Training cannot start, or its loss is no number any more."""


class GraphError(IntbertError):
    """A graph that was quantized elsewhere is missing, damaged, or holds what has no counterpart here."""


class TuningLogError(IntbertError):
    """A tuning log cannot be reached, read or written, or something that was meant for one makes no sense."""


class EstimationError(IntbertError):
    """What a kernel costs cannot be estimated: no tool for it, or code that is not understood."""


class TraceError(IntbertError):
    """A schedule's trace is damaged, or was made for another kernel, strategy or version."""
