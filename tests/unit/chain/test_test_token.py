"""The token that tests pay with."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from ballast.chain import Chain, Contract, reverts

OWNER = Account.from_key(b"\x01" * 32)


@pytest.fixture
def token(chain: Chain) -> Contract:
    return chain.deploy("TestToken", "USD Coin", "USDC", 6)


def signature(chain: Chain, token: Contract, spender: str, amount: int, deadline: int) -> tuple[int, bytes, bytes]:
    domain = {"name": "USD Coin", "version": "1", "chainId": chain.chain_id, "verifyingContract": token.address}
    kinds = {
        "Permit": [
            {"name": "owner", "type": "address"},
            {"name": "spender", "type": "address"},
            {"name": "value", "type": "uint256"},
            {"name": "nonce", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    }
    message = {"owner": OWNER.address, "spender": spender, "value": amount, "nonce": 0, "deadline": deadline}
    signed = OWNER.sign_message(encode_typed_data(domain, kinds, message))
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def test_mint_anyone_creates_units(chain: Chain, token: Contract) -> None:
    holder = chain.accounts[4]
    receipt = token.send("mint", holder, 5, sender=holder)
    assert tuple(receipt.one("Transfer")) == ("0x" + "00" * 20, holder, 5)
    assert (token.decimals(), token.symbol(), token.balanceOf(holder), token.totalSupply()) == (6, "USDC", 5, 5)


def test_permit_valid_signature_sets_the_allowance(chain: Chain, token: Contract) -> None:
    spender, deadline = chain.accounts[1], chain.now + 60
    token.send("permit", OWNER.address, spender, 9, deadline, *signature(chain, token, spender, 9, deadline))
    assert token.allowance(OWNER.address, spender) == 9


def test_permit_other_amount_reverts(chain: Chain, token: Contract) -> None:
    spender, deadline = chain.accounts[1], chain.now + 60
    signed = signature(chain, token, spender, 9, deadline)
    with reverts("erc20: invalid signature"):
        token.send("permit", OWNER.address, spender, 10, deadline, *signed)
