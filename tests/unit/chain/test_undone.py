"""A trial on the in-process backend leaves nothing behind."""

from ballast.chain import RevmChain, reverts


def test_undone_state_time_and_logs_are_as_before() -> None:
    chain = RevmChain(keep_logs=True)
    probe = chain.deploy("WrapperProbe", "probe", 5)
    before, logs = (chain.now, chain.number, probe.clock()), chain.logs([probe], 0, 100)
    with chain.undone():
        probe.send("count", 1)
        chain.warp(7)
        with chain.undone():
            probe.send("count", 10)
            chain.deploy("WrapperProbe", "other", 0)
            assert probe.total() == 16
        with reverts("probe: as asked"):
            probe.send("fail", 0)
        assert (probe.total(), probe.clock()[0]) == (6, before[0] + 7)
    assert (chain.now, chain.number, probe.clock()) == before
    assert probe.total() == 5
    assert chain.logs([probe], 0, 100) == logs


def test_undone_more_often_than_the_journal_is_deep_still_works() -> None:
    chain = RevmChain()
    probe = chain.deploy("WrapperProbe", "probe", 5)
    for _ in range(2_000):
        with chain.undone():
            probe.send("count", 1)
    assert probe.send("count", 1).value == 6
