"""The volatility surface off-chain: the SSVI form, its fit to quoted options, and pictures of both."""

from ballast.surface.fit import Fit, fit
from ballast.surface.quotes import Quotes, quotes_of
from ballast.surface.ssvi import Surface

__all__ = ["Fit", "Quotes", "Surface", "fit", "quotes_of"]
