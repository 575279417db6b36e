# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  ExposureHarness: the words of exposure.vy, written and read
@notice For tests at the ends of every field, where no book can be driven.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.inventory import exposure

initializes: exposure


@external
def store_book(book: exposure.Book) -> exposure.Book:
    """@return what is read back"""
    exposure.save_book(book)
    return exposure.load_book()


@external
def store_market(market: uint256, state: exposure.Market) -> exposure.Market:
    """@return what is read back"""
    exposure.save_market(market, state)
    return exposure.load_market(market)


@view
@external
def load_market(market: uint256) -> exposure.Market:
    return exposure.load_market(market)


@view
@external
def load_book() -> exposure.Book:
    return exposure.load_book()
