"""Train classifiers and regressors by the saddle flows, with scikit-learn's interface.

Above `simulation`. Every parameter is a plain value or an immutable object, so that pipelines,
`clone` and `GridSearchCV` work as with any other estimator. Start at `SaddleClassifier`.
"""

from neurosim.estimators.classifier import SaddleClassifier
from neurosim.estimators.regressor import SaddleRegressor

__all__ = ["SaddleClassifier", "SaddleRegressor"]
