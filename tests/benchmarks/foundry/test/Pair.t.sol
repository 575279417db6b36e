// SPDX-License-Identifier: AGPL-3.0-only
pragma solidity ^0.8.20;

// The pair under Foundry's invariant mode: the same handlers and the same check as in ballast/reports/versus_foundry.py.

interface Vm {
    function getCode(string calldata artifact) external view returns (bytes memory);
    function prank(address sender) external;
    function warp(uint256 timestamp) external;
    function envBool(string calldata name) external view returns (bool);
}

interface Token {
    function mint(address receiver, uint256 amount) external;
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
}

interface ShareVault {
    function deposit(uint256 assets) external returns (uint256);
    function withdraw(uint256 shares) external returns (uint256);
    function withdraw_all() external returns (uint256);
    function balanceOf(address owner) external view returns (uint256);
    function totalAssets() external view returns (uint256);
    function fees() external view returns (uint256);
}

Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
uint256 constant WEALTH = 1e24; // of every actor [token units]

contract Handler {
    Token private immutable token;
    ShareVault private immutable vault;
    address[3] private actors = [address(0xA1), address(0xA2), address(0xA3)];

    constructor(Token token_, ShareVault vault_) {
        token = token_;
        vault = vault_;
        for (uint256 i; i < actors.length; i++) {
            token.mint(actors[i], WEALTH);
            vm.prank(actors[i]);
            token.approve(address(vault), type(uint256).max);
        }
    }

    function deposit(uint8 who, uint256 assets) external {
        address actor = actors[who % actors.length];
        assets = within(assets, token.balanceOf(actor));
        vm.prank(actor);
        vault.deposit(assets);
    }

    function withdraw(uint8 who, uint256 shares) external {
        address actor = actors[who % actors.length];
        shares = within(shares, vault.balanceOf(actor));
        vm.prank(actor);
        vault.withdraw(shares);
    }

    function withdraw_all(uint8 who) external {
        vm.prank(actors[who % actors.length]);
        vault.withdraw_all();
    }

    function warp(uint32 elapsed) external {
        vm.warp(block.timestamp + (elapsed % 30 days));
    }

    function within(uint256 x, uint256 most) private pure returns (uint256) {
        return x <= most ? x : x % (most + 1);
    }
}

contract Pair {
    Token private token;
    ShareVault private vault;
    address private handler;

    function setUp() public {
        token = Token(create(vm.getCode("Token.vy")));
        bytes memory arguments = abi.encode(token, vm.envBool("PLANTED"));
        vault = ShareVault(create(bytes.concat(vm.getCode("ShareVault.vy"), arguments)));
        handler = address(new Handler(token, vault));
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = handler;
    }

    function invariant_solvent() public view {
        require(token.balanceOf(address(vault)) >= vault.totalAssets() + vault.fees(), "insolvent");
    }

    function create(bytes memory code) private returns (address made) {
        assembly {
            made := create(0, add(code, 32), mload(code))
        }
        require(made != address(0), "not deployed");
    }
}
