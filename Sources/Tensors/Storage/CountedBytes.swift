/// Bytes that something other than a tensor holds (index tables, tile lists), counted in a ledger while this lives.
public final class CountedBytes: Sendable {
  private let bytes: Int
  private let ledger: MemoryLedger?

  /// Counts bytes from now on.
  /// - Throws: `MemoryLimitExceeded` when the ledger's limit would be passed; nothing is counted then.
  public init(_ bytes: Int, in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    try ledger?.add(bytes: bytes)
    self.bytes = bytes
    self.ledger = ledger
  }

  deinit { ledger?.remove(bytes: bytes) }
}
