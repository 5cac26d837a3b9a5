"""How long a stage will take and how much memory, from past runs of the same kind of stage on the same kind of machine.

past.py     what past runs took
predict.py  what that says of a stage to be run
"""

from orchestrator.plan.forecast.past import PastCost, past_costs
from orchestrator.plan.forecast.predict import Forecast, forecast

__all__ = ["Forecast", "PastCost", "forecast", "past_costs"]
