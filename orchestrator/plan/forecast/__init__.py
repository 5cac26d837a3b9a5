"""Forecasts a stage's time and memory from past runs of the same kind of stage on the same kind of machine.

past.py     the costs of past runs
predict.py  the forecast for a stage to run
"""

from orchestrator.plan.forecast.past import PastCost, past_costs
from orchestrator.plan.forecast.predict import Forecast, forecast

__all__ = ["Forecast", "PastCost", "forecast", "past_costs"]
