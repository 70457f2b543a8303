"""FromOnnx: a model in the ONNX format as a ranker, computed by ONNX Runtime."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recokit._utils.options import require
from recokit.data import Candidates
from recokit.data.state.outside import Outside
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.rankers._inputs import DISTINCT_NAMES, NamedFeatures
from recokit.rankers.from_function import as_scores
from recokit.typing import AnyArray, Float32Array

#: Element types of an input that features are given as.
_INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class FromOnnx(Outside, NamedFeatures):
    """Rank by a model that was trained elsewhere and exported to ONNX, such as by skl2onnx, onnxmltools or torch.

    ONNX Runtime (the extra ``onnx``) computes it on one thread of the CPU. The model is held as bytes, so a saved
    pipeline has it inside.

    Parameters
    ----------
    model : path, bytes or ndarray of uint8
        The model with one input, the features of float32 or float64, (N, F), with any number of rows. A file is read at
        construction; the attribute is its content as an array.
    features : sequence of str
        Features that the model takes, in its order; found by name.
    output : str, optional
        Output that is the score, by default the last one, in which classifiers of scikit-learn have probabilities.
        Of shape (N,) or (N, 1), or (N, 2), of which the second column is the score: the positive class.

    Attributes
    ----------
    sha256 : str
        Of the model, in hex.

    Raises
    ------
    ConfigurationError
        If ONNX Runtime is not installed, the model cannot be read, it takes other than one matrix of so many features,
        there is no such output, or a feature is missing on use.

    Notes
    -----
    Missing values are NaN, and infinite features are given as they are: the model has to know what to do with them.

    Examples
    --------
    >>> import onnx.parser
    >>> model = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["": 17]>
    ...     scores (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1.0, -0.5}> { y = MatMul(x, w) }
    ... ''')
    >>> ranker = FromOnnx(model.SerializeToString(), features=["clicks", "price"])
    >>> batch = Candidates.from_lists([[7, 8]], features=[[2.0, 10.0], [6.0, 5.0]], feature_names=["price", "clicks"])
    >>> ranker.score(batch).tolist()
    [9.0, 2.0]
    """

    places = ("model",)

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | AnyArray,
        *,
        features: Sequence[str],
        output: str | None = None,
    ) -> None:
        require(DISTINCT_NAMES, features=features)
        self.model, self.features, self.output = _content(model), features, output
        self._use(features)
        self._session = _Session(self.model, output)
        width = self._session.width
        if width is not None and width != len(self.feature_names_):
            raise ConfigurationError(
                f"found {len(self.feature_names_)} features and a model that takes {width}; expected as many"
            )

    @property
    def sha256(self) -> str:
        """SHA-256 of the model, in hex."""
        return hashlib.sha256(self.model.tobytes()).hexdigest()

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the model's answer, (N,) float32.

        Raises
        ------
        ContractError
            If that is not one number for each candidate.
        DataError
            If the model fails on the features.
        """
        n = len(candidates)
        if n == 0:  # many operators refuse no rows
            return np.zeros(0, np.float32)
        answer = self._session.run(self._select(candidates))
        two_classes = isinstance(answer, np.ndarray) and answer.shape == (n, 2)
        return as_scores(answer[:, 1] if two_classes else answer, n, f"output {self._session.output!r}")

    def state(self) -> dict[str, Any]:
        """Return the checksum of the model, for saving; the model itself is an option."""
        return {"sha256": self.sha256}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Check that the model is the one that was saved.

        Raises
        ------
        DataError
            If it is another.
        """
        if state["sha256"] != self.sha256:
            raise DataError(
                f"found an ONNX model with SHA-256 {self.sha256[:12]}...; expected {state['sha256'][:12]}..., as saved"
            )


class _Session:
    """ONNX Runtime with one model: shared by copies, made again where it is unpickled."""

    def __init__(self, content: AnyArray, output: str | None) -> None:
        runtime = _import_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised; nothing is printed besides
        try:
            self._session = runtime.InferenceSession(
                content.tobytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes share no base of their own
            raise ConfigurationError(
                f"found {len(content)} bytes that ONNX Runtime cannot load ({_first_line(error)}); "
                "expected a model in the ONNX format"
            ) from error
        inputs = self._session.get_inputs()
        shapes = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        if len(inputs) != 1 or inputs[0].type not in _INPUTS or len(inputs[0].shape) != 2:
            raise ConfigurationError(
                f"found a model with the inputs {shapes or 'none'}; expected one, float or double of shape (N, F); "
                "hint: skl2onnx makes that of initial_types=[('x', FloatTensorType([None, F]))]"
            )
        rows, width = inputs[0].shape
        if isinstance(rows, int):
            raise ConfigurationError(
                f"found a model for {rows} rows at a time; expected any number; "
                "hint: export it with dynamic rows, such as dynamic_axes={'x': {0: 'n'}} of torch.onnx.export"
            )
        self.width: int | None = width if isinstance(width, int) else None
        names = [one.name for one in self._session.get_outputs()]
        if output is not None and output not in names:
            raise ConfigurationError(f"found no output {output!r}; {did_you_mean(output, names)}")
        self.output: str = names[-1] if output is None else output
        kind = next(one.type for one in self._session.get_outputs() if one.name == self.output)
        if not kind.startswith("tensor("):
            raise ConfigurationError(
                f"found output {self.output!r} of type {kind}; expected a tensor; hint: convert a classifier with "
                "skl2onnx's options={'zipmap': False}"
            )
        self._input, self._dtype = inputs[0].name, _INPUTS[inputs[0].type]
        self._made_of = (content, output)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Session, self._made_of

    def run(self, features: Float32Array) -> Any:
        given = np.ascontiguousarray(features, self._dtype)
        try:
            return self._session.run([self.output], {self._input: given})[0]
        except Exception as error:
            raise DataError(f"found features that the ONNX model fails on ({_first_line(error)})") from error


def _content(model: Any) -> AnyArray:
    """Return the bytes of a model as an array."""
    if isinstance(model, np.ndarray):
        if model.dtype != np.uint8 or model.ndim != 1:
            raise ConfigurationError(
                f"found an array of {model.dtype} {model.shape}; expected the bytes of a model"
            )
        return model
    if isinstance(model, str | os.PathLike):
        try:
            model = Path(model).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"found no model to read at {os.fspath(model)!r} ({error})") from error
    if not isinstance(model, bytes):
        raise ConfigurationError(
            f"found {type(model).__name__}; expected a path or bytes; hint: onnx's model.SerializeToString()"
        )
    return np.frombuffer(model, np.uint8)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(
            "found no onnxruntime, which FromOnnx computes with; hint: pip install 'recokit[onnx]'"
        ) from error
    return onnxruntime
