// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RewardToken} from "./RewardToken.sol";

/// Where people register encrypted files of their data, say who may read them, have them validated, and are paid.
///
/// A file is added by a transaction, its sender's or, for an owner who holds no native token, anybody's who brings the
/// owner's signature (EIP-712). Then its owner asks for a proof of contribution, an attestor confirms it (at once when there is no
/// attestor), and the owner claims the reward, once.
contract DataRegistry {
    struct Permission {
        address account;
        string key;
    }

    struct File {
        address owner;
        uint256 jobId;
        bool confirmed;
        bool claimed;
        string url;
    }

    struct Grant {
        uint256 fileId;
        address account;
        string key;
    }

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant PERMISSION_TYPE = keccak256("Permission(address account,string key)");
    bytes32 private constant ADD_FILE_TYPE = keccak256(
        "AddFile(address owner,string url,Permission[] permissions,uint256 nonce,uint256 deadline)"
        "Permission(address account,string key)"
    );
    /// Half of the order of secp256k1: each signature has a twin above, which is refused.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    RewardToken public immutable token;
    address public immutable attestor;
    uint256 public immutable proofFee;
    uint256 public immutable reward;

    uint256 public filesCount;
    uint256 public permissionsCount;
    uint256 public jobsCount;
    mapping(address owner => uint256 nonce) public nonces;
    mapping(uint256 jobId => uint256 fileId) public fileOfJob;
    mapping(uint256 fileId => File file) private _files;
    mapping(uint256 permissionId => Grant grant) private _grants;

    event FileAdded(uint256 indexed fileId, address indexed owner, string url);
    event PermissionGranted(
        uint256 indexed permissionId, uint256 indexed fileId, address indexed account, address owner, string key
    );
    event ProofRequested(uint256 indexed jobId, uint256 indexed fileId, address indexed owner, uint256 fee);
    event ProofConfirmed(uint256 indexed jobId, uint256 indexed fileId, address indexed owner);
    event RewardClaimed(uint256 indexed fileId, address indexed owner, uint256 amount);

    error NoSuchFile(uint256 fileId);
    error NoSuchPermission(uint256 permissionId);
    error NoSuchJob(uint256 jobId);
    error NotOwner(uint256 fileId, address caller);
    error NotAttestor(address caller);
    error FeeTooLow(uint256 fee, uint256 paid);
    error ProofRequestedAlready(uint256 fileId, uint256 jobId);
    error ProofMissing(uint256 fileId);
    error RewardClaimedAlready(uint256 fileId);
    error SignatureExpired(uint256 deadline);
    error SignatureInvalid(address owner);

    /// attestor_: who confirms proofs; the zero address confirms each with its request.
    /// proofFee_: native token to pay with each request. reward_: what a claim pays, in the smallest unit of the token.
    constructor(address attestor_, uint256 proofFee_, uint256 reward_) {
        token = new RewardToken(address(this));
        attestor = attestor_;
        proofFee = proofFee_;
        reward = reward_;
    }

    function addFile(string calldata url) external returns (uint256 fileId) {
        return _add(url, msg.sender, new Permission[](0));
    }

    function addFileWithPermissions(string calldata url, address owner, Permission[] calldata permissions)
        external
        returns (uint256 fileId)
    {
        return _add(url, owner, permissions);
    }

    /// The same, for whoever brings what the owner signed: one use only, before the deadline (Unix seconds).
    function addFileWithPermissionsBySignature(
        string calldata url,
        address owner,
        Permission[] calldata permissions,
        uint256 deadline,
        bytes calldata signature
    ) external returns (uint256 fileId) {
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        bytes32 content = keccak256(
            abi.encode(
                ADD_FILE_TYPE, owner, keccak256(bytes(url)), _hash(permissions), nonces[owner]++, deadline
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", domainSeparator(), content));
        if (owner == address(0) || _signer(digest, signature) != owner) revert SignatureInvalid(owner);
        return _add(url, owner, permissions);
    }

    function requestContributionProof(uint256 fileId) external payable returns (uint256 jobId) {
        File storage file = _owned(fileId);
        if (msg.value < proofFee) revert FeeTooLow(proofFee, msg.value);
        if (file.jobId != 0) revert ProofRequestedAlready(fileId, file.jobId);
        jobId = ++jobsCount;
        file.jobId = jobId;
        fileOfJob[jobId] = fileId;
        emit ProofRequested(jobId, fileId, msg.sender, msg.value);
        if (attestor == address(0)) _confirm(jobId);
    }

    function confirmProofs(uint256[] calldata jobIds) external {
        if (msg.sender != attestor) revert NotAttestor(msg.sender);
        for (uint256 i = 0; i < jobIds.length; i++) {
            _confirm(jobIds[i]);
        }
    }

    function claimReward(uint256 fileId) external {
        File storage file = _owned(fileId);
        if (!file.confirmed) revert ProofMissing(fileId);
        if (file.claimed) revert RewardClaimedAlready(fileId);
        file.claimed = true;
        token.mint(msg.sender, reward);
        emit RewardClaimed(fileId, msg.sender, reward);
    }

    function files(uint256 fileId)
        external
        view
        returns (address owner, string memory url, uint256 jobId, bool confirmed, bool claimed)
    {
        File storage file = _files[fileId];
        if (file.owner == address(0)) revert NoSuchFile(fileId);
        return (file.owner, file.url, file.jobId, file.confirmed, file.claimed);
    }

    function grants(uint256 permissionId)
        external
        view
        returns (uint256 fileId, address account, string memory key)
    {
        Grant storage grant = _grants[permissionId];
        if (grant.fileId == 0) revert NoSuchPermission(permissionId);
        return (grant.fileId, grant.account, grant.key);
    }

    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPE, keccak256("DataRegistry"), keccak256("1"), block.chainid, address(this))
        );
    }

    function _add(string calldata url, address owner, Permission[] memory granted)
        private
        returns (uint256 fileId)
    {
        fileId = ++filesCount;
        File storage file = _files[fileId];
        file.owner = owner;
        file.url = url;
        emit FileAdded(fileId, owner, url);
        for (uint256 i = 0; i < granted.length; i++) {
            uint256 permissionId = ++permissionsCount;
            _grants[permissionId] = Grant(fileId, granted[i].account, granted[i].key);
            emit PermissionGranted(permissionId, fileId, granted[i].account, owner, granted[i].key);
        }
    }

    function _confirm(uint256 jobId) private {
        uint256 fileId = fileOfJob[jobId];
        if (fileId == 0) revert NoSuchJob(jobId);
        _files[fileId].confirmed = true;
        emit ProofConfirmed(jobId, fileId, _files[fileId].owner);
    }

    function _owned(uint256 fileId) private view returns (File storage file) {
        file = _files[fileId];
        if (file.owner == address(0)) revert NoSuchFile(fileId);
        if (file.owner != msg.sender) revert NotOwner(fileId, msg.sender);
    }

    function _hash(Permission[] calldata granted) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](granted.length);
        for (uint256 i = 0; i < granted.length; i++) {
            hashes[i] =
                keccak256(abi.encode(PERMISSION_TYPE, granted[i].account, keccak256(bytes(granted[i].key))));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _signer(bytes32 digest, bytes calldata signature) private pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > HALF_ORDER) return address(0);
        return ecrecover(digest, uint8(signature[64]), r, s);
    }
}
