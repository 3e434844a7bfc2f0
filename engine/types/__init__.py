"""What crosses borders: plain frozen values of numpy arrays and strings, with no torch and no screen.

Layers and heads count from 0 here; screens add 1.
"""

from engine.types.alignment import DecoderSteps, EncoderStates, LinkedPair
from engine.types.beam import BeamNode, BeamTree, Hypothesis, NodeState
from engine.types.connectivity import MASKED, ConnectedText, Connectivity, Suggestions
from engine.types.language import Choice, Drawn, GenerationRequest, NextToken, Surprise
from engine.types.trace import KINDS, NO_TOKENS, AttentionMap, Kind, Measure, Tokens, Trace, TraceRequest

__all__ = [
    "KINDS",
    "MASKED",
    "NO_TOKENS",
    "AttentionMap",
    "BeamNode",
    "BeamTree",
    "Choice",
    "ConnectedText",
    "Connectivity",
    "DecoderSteps",
    "Drawn",
    "EncoderStates",
    "GenerationRequest",
    "Hypothesis",
    "Kind",
    "LinkedPair",
    "Measure",
    "NextToken",
    "NodeState",
    "Suggestions",
    "Surprise",
    "Tokens",
    "Trace",
    "TraceRequest",
]
