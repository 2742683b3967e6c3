// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Many calls in one: the part of Multicall3's interface that funding wallets and reading their balances needs.
///
/// Selectors, results and the two reasons of a revert are Multicall3's, which most chains have at
/// 0xcA11bde05977b3631167028862bE2a173976CA11, so that whoever calls need not know which of the two it has. This one is put on chains
/// that have none.
contract Batch {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Call3Value {
        address target;
        bool allowFailure;
        uint256 value;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData) {
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            Call3 calldata one = calls[i];
            returnData[i] = _call(one.target, one.allowFailure, 0, one.callData);
        }
    }

    /// The values of the calls must add up to what is sent with the transaction. What a call that failed (and was
    /// allowed to) did not take stays here, as it does with Multicall3.
    function aggregate3Value(Call3Value[] calldata calls) external payable returns (Result[] memory returnData) {
        uint256 spent = 0;
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            Call3Value calldata one = calls[i];
            spent += one.value;
            returnData[i] = _call(one.target, one.allowFailure, one.value, one.callData);
        }
        require(msg.value == spent, "Multicall3: value mismatch");
    }

    function getEthBalance(address account) external view returns (uint256 balance) {
        return account.balance;
    }

    function getBlockNumber() external view returns (uint256 blockNumber) {
        return block.number;
    }

    function _call(address target, bool allowFailure, uint256 value, bytes calldata callData)
        private
        returns (Result memory result)
    {
        (result.success, result.returnData) = target.call{value: value}(callData);
        require(result.success || allowFailure, "Multicall3: call failed");
    }
}
