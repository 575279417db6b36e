"""How a vault prices the trades that it takes: one module for each rule.

A rule is a module of a frozen dataclass `Params`, whose defaults are published or deployed values, with `array()`, of
`N_STATE` and `N_MARKET_STATE`, and of functions compiled by `sims.jit.njit`. Arguments: p = `Params.array()`; z the
rule's state (N_STATE + markets · N_MARKET_STATE floats, zero before `start`); m and g the views of `sims.world`;
i a market, dq what traders buy of it [base].

    start(p, z, m, g) -> None               the state at time 0
    accrue(p, z, m, g) -> (carried, freed)  once at each step where anything happens, before all else, for the time
                                            g[ELAPSED] since the last: what traders pay LPs for holding [quote, net,
                                            may be negative], and what of the reserve becomes LPs'
    quote(p, z, m, g, i, dq) -> cost        what a trade costs beyond its mark value [quote]; negative: it is paid; inf:
                                            refused. Changes nothing
    fill(p, z, m, g, i, dq) -> (to_lp, to_reserve)   books it. m and g are still those before the trade. What remains
                                            of the cost goes to neither (insurance, protocol)

Optional, for rules that know them:

    rate(p, z, m, g, i) -> annual funding that longs pay
    relief(p, z, m, g, i, dh) -> (fall, freed)   what a hedge of dh would take off the potential, and free of the
                                            reserve. Changes nothing
    hedged(p, z, m, g, i, dh, spent) -> freed    books a hedge that cost `spent`; what of the reserve becomes
                                            LPs' at once
"""
