"""What crosses borders: plain frozen values of numpy arrays and strings, with no torch and no screen.

Layers and heads count from 0 here; screens add 1.
"""

from engine.types.alignment import DecoderSteps, EncoderStates, LinkedPair
from engine.types.beam import BeamNode, BeamTree, Hypothesis, NodeState
from engine.types.connectivity import MASKED, ConnectedText, Connectivity, Suggestions
from engine.types.trace import KINDS, AttentionMap, Kind, Measure, Tokens, Trace, TraceRequest

__all__ = [
    "KINDS",
    "MASKED",
    "AttentionMap",
    "BeamNode",
    "BeamTree",
    "ConnectedText",
    "Connectivity",
    "DecoderSteps",
    "EncoderStates",
    "Hypothesis",
    "Kind",
    "LinkedPair",
    "Measure",
    "NodeState",
    "Suggestions",
    "Tokens",
    "Trace",
    "TraceRequest",
]
