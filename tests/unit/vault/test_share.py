"""The share token, ERC-165, ERC-7575, and who may set what."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from ballast.chain import load, reverts
from tests.unit.vault.conftest import DAY, WAD, ZERO, World

LP_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"


def test_share_is_the_vault_with_18_decimals(world: World) -> None:
    vault = world.vault
    assert (vault.name(), vault.symbol(), vault.decimals()) == ("Ballast USD", "bUSD", 18)
    assert vault.share() == vault.address == vault.vault(world.token)
    assert vault.vault(vault) == ZERO
    assert vault.asset() == world.token.address
    assert vault.neighbours()[0] == world.clearinghouse.address


@pytest.mark.parametrize("interface", ["01ffc9a7", "e3bc4e65", "620ee8e4", "2f0a18c5", "f815c03d"])
def test_supports_interface_of_the_standards(usdc: World, interface: str) -> None:
    assert usdc.vault.supportsInterface(bytes.fromhex(interface))


@pytest.mark.parametrize("interface", ["ffffffff", "00000000", "ce3bbe50"])
def test_supports_no_other_interface(usdc: World, interface: str) -> None:
    assert not usdc.vault.supportsInterface(bytes.fromhex(interface))


def test_interface_ids_are_those_of_the_functions() -> None:
    def interface_id(*names: str) -> int:
        answer = 0
        for name in names:
            (function,) = load("Vault").functions[name]
            answer ^= int.from_bytes(function.selector, "big")
        return answer

    entry = ("asset", "totalAssets", "convertToAssets", "convertToShares", "share")
    ways = ("Deposit", "Mint", "Withdraw", "Redeem")
    erc7575 = [*entry, *(f"max{w}" for w in ways), *(f"preview{w}" for w in ways), *(w.lower() for w in ways)]
    assert interface_id(*erc7575) == 0x2F0A18C5
    assert interface_id("requestRedeem", "pendingRedeemRequest", "claimableRedeemRequest") == 0x620EE8E4
    assert interface_id("setOperator", "isOperator") == 0xE3BC4E65
    assert interface_id("vault") == 0xF815C03D
    assert interface_id("supportsInterface") == 0x01FFC9A7


def test_nothing_mints_or_burns_shares_from_outside() -> None:
    functions = load("Vault").functions
    assert not {"burn", "burn_from", "set_minter", "transfer_ownership", "renounce_ownership", "owner"} & set(functions)
    assert [f.signature for f in functions["mint"]] == ["mint(uint256,address)"]


def test_transfer_moves_shares(usdc: World) -> None:
    usdc.deposit("lp", 10 * usdc.unit)
    lp, receiver, spender = (usdc.actors[name] for name in ("lp", "receiver", "spender"))
    receipt = usdc.vault.transfer.send(receiver, 4 * WAD, sender=lp)
    assert receipt.value is True
    assert receipt.one("Transfer") == (lp, receiver, 4 * WAD)
    usdc.vault.approve.send(spender, 3 * WAD, sender=lp)
    assert usdc.vault.transferFrom.send(lp, receiver, 2 * WAD, sender=spender).value is True
    assert usdc.vault.balanceOf(receiver) == 6 * WAD
    assert usdc.vault.allowance(lp, spender) == WAD
    with reverts("erc20: insufficient allowance"):
        usdc.vault.transferFrom.send(lp, receiver, 2 * WAD, sender=spender)


@pytest.mark.parametrize("to", ["vault", "zero"])
def test_transfer_to_the_vault_or_to_nobody_reverts(usdc: World, to: str) -> None:
    usdc.deposit("lp", usdc.unit)
    lp, spender = usdc.actors["lp"], usdc.actors["spender"]
    usdc.vault.approve.send(spender, WAD, sender=lp)
    target = usdc.vault if to == "vault" else ZERO
    with reverts("vault: bad receiver"):
        usdc.vault.transfer.send(target, 1, sender=lp)
    with reverts("vault: bad receiver"):
        usdc.vault.transferFrom.send(lp, target, 1, sender=spender)


def test_permit_sets_an_allowance_once(usdc: World) -> None:
    owner = Account.from_key(LP_KEY)
    assert owner.address == usdc.actors["lp"]
    spender, deadline = usdc.actors["spender"], usdc.now + 60
    names = [("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256"),
             ("deadline", "uint256")]  # fmt: skip
    message = encode_typed_data(
        {
            "name": "Ballast USD",
            "version": "1",
            "chainId": usdc.chain.chain_id,
            "verifyingContract": usdc.vault.address,
        },
        {"Permit": [{"name": name, "type": kind} for name, kind in names]},
        {"owner": owner.address, "spender": spender, "value": 5 * WAD, "nonce": 0, "deadline": deadline},
    )
    signed = owner.sign_message(message)
    arguments = (
        owner.address, spender, 5 * WAD, deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    )  # fmt: skip
    usdc.vault.permit.send(*arguments)
    assert usdc.vault.allowance(owner.address, spender) == 5 * WAD
    assert usdc.vault.nonces(owner.address) == 1
    with reverts("erc20: invalid signature"):
        usdc.vault.permit.send(*arguments)


# ── powers ──

PARAMS = (10**9 * WAD, WAD // 2, DAY)


def test_set_params_by_the_governor_logs_and_holds(usdc: World) -> None:
    receipt = usdc.vault.set_params.send(PARAMS)
    assert receipt.one("ParamsSet") == (PARAMS,)
    assert usdc.vault.params() == PARAMS


@pytest.mark.parametrize(
    "params",
    [
        (10**10 * WAD + 1, WAD // 2, DAY), (0, WAD // 10 - 1, DAY), (0, WAD * 9 // 10 + 1, DAY),
        (0, WAD // 2, 3_599), (0, WAD // 2, 14 * DAY + 1),
    ],
)  # fmt: skip
def test_set_params_out_of_bounds_reverts(usdc: World, params: tuple[int, int, int]) -> None:
    with reverts("vault: params out of bounds"):
        usdc.vault.set_params.send(params)


@pytest.mark.parametrize("params", [(10**10 * WAD, WAD * 9 // 10, 14 * DAY), (0, WAD // 10, 3_600)])
def test_set_params_at_the_bounds_holds(usdc: World, params: tuple[int, int, int]) -> None:
    usdc.vault.pause_deposits.send()
    usdc.vault.set_params.send(params)
    assert usdc.vault.params() == params
    assert usdc.vault.deposits_paused()


@pytest.mark.parametrize("caller", ["guardian", "attacker", "lp"])
def test_set_params_by_others_reverts(usdc: World, caller: str) -> None:
    with reverts("roles: not allowed"):
        usdc.vault.set_params.send(PARAMS, sender=usdc.actors[caller])


def test_epoch_length_holds_from_the_next_epoch(usdc: World) -> None:
    ends_at = usdc.vault.epoch().ends_at
    usdc.set_params(epoch_length=3_600)
    assert usdc.vault.epoch().ends_at == ends_at
    usdc.end_epoch()
    assert usdc.vault.epoch().ends_at == ends_at + 3_600


def test_guardian_lowers_the_cap_and_cannot_raise_it(usdc: World) -> None:
    guardian = usdc.actors["guardian"]
    receipt = usdc.vault.lower_deposit_cap.send(5 * WAD, sender=guardian)
    assert receipt.one("ParamsSet").params.deposit_cap == usdc.vault.params().deposit_cap == 5 * WAD
    with reverts("vault: cap may only fall"):
        usdc.vault.lower_deposit_cap.send(5 * WAD + 1, sender=guardian)
    with reverts("roles: not allowed"):
        usdc.vault.lower_deposit_cap.send(0, sender=usdc.actors["attacker"])


def test_guardian_pauses_and_only_the_governor_unpauses(usdc: World) -> None:
    guardian = usdc.actors["guardian"]
    receipt = usdc.vault.pause_deposits.send(sender=guardian)
    assert receipt.one("DepositsPaused") == (True, guardian)
    with reverts("roles: not allowed"):
        usdc.vault.unpause_deposits.send(sender=guardian)
    with reverts("roles: not allowed"):
        usdc.vault.pause_deposits.send(sender=usdc.actors["attacker"])
    usdc.vault.unpause_deposits.send()
    assert not usdc.vault.deposits_paused()
    assert usdc.deposit("lp", usdc.unit) == WAD
