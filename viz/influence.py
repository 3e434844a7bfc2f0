"""Colours of influence, the same on every page and in every figure that draws it, light or dark.

Source: the scale viridis of matplotlib (van der Walt and Smith 2015); the part of it is the one that Madsen 2019,
"Visualizing memorization in RNNs" (Distill), draws with.
"""

_COLOURS = (
    "365d8d355e8d355f8d34608d34618d33628d33638d32648e32658e31668e31678e31688e30698e306a8e2f6b8e2f6c8e2e6d8e"
    "2e6e8e2e6f8e2d708e2d718e2c718e2c728e2c738e2b748e2b758e2a768e2a778e2a788e29798e297a8e297b8e287c8e287d8e"
    "277e8e277f8e27808e26818e26828e26828e25838e25848e25858e24868e24878e23888e23898e238a8d228b8d228c8d228d8d"
    "218e8d218f8d21908d21918c20928c20928c20938c1f948c1f958b1f968b1f978b1f988b1f998a1f9a8a1e9b8a1e9c891e9d89"
    "1f9e891f9f881fa0881fa1881fa1871fa28720a38620a48621a58521a68522a78522a88423a98324aa8325ab8225ac8226ad81"
    "27ad8128ae8029af7f2ab07f2cb17e2db27d2eb37c2fb47c31b57b32b67a34b67935b779"
)
INFLUENCE_COLOURS: tuple[str, ...] = tuple(f"#{_COLOURS[at : at + 6]}" for at in range(0, len(_COLOURS), 6))
"""Viridis from 0.29 to 2/3, number 74 to 170 of its 256 colours, whatever the page: white text stands on them."""
