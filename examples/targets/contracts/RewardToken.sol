// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// What contributors are paid in: a fungible token that only its minter, the data registry, makes.
contract RewardToken {
    string public constant name = "Data Reward";
    string public constant symbol = "DRW";
    uint8 public constant decimals = 18;

    address public immutable minter;
    uint256 public totalSupply;
    mapping(address holder => uint256 amount) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    error NotMinter(address caller);
    error BalanceTooLow(address holder, uint256 held, uint256 wanted);

    constructor(address minter_) {
        minter = minter_;
    }

    function mint(address to, uint256 value) external {
        if (msg.sender != minter) revert NotMinter(msg.sender);
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        uint256 held = balanceOf[msg.sender];
        if (held < value) revert BalanceTooLow(msg.sender, held, value);
        unchecked {
            balanceOf[msg.sender] = held - value;
        }
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
        return true;
    }
}
