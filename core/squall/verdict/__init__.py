"""Decides, from what was measured, whether a run was good, and when it has to end.

`grammar` reads expressions, `thresholds` judges them second by second, `tiers` grades, `safety` stops, `saturation` asks
whether the numbers can be trusted at all, `verdict` puts it together, `baseline` compares runs; `build` makes all of
them from a manifest. Everything here is pure: slots are fed in, decisions come out.
"""
