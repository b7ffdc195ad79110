import Tensors
import Testing

@Suite struct MemoryLedgerTests {
  @Test func whatTheSystemRefusesIsThrown() {
    let error = #expect(throws: MemoryLimitExceeded.self) { try Tensor(zeros: [1 << 58]) }
    #expect(error?.limitBytes == nil)
    #expect(error?.description == "memory: the system refused \(1 << 60) bytes")
    let ledger = MemoryLedger(recycles: true)
    #expect(throws: MemoryLimitExceeded.self) { try Tensor(zeros: [1 << 58], ledger: ledger) }
    #expect(ledger.currentBytes == 0)
  }
}
