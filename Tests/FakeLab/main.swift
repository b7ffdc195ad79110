import AttentionCore
import AttentionLab
import Foundation
import Tensors

struct Plain: Fake {
  static let id = "plain"
  static let idea = "correct"
  let configuration: FakeConfiguration
  let shape: AttentionShape
}

struct Slow: Fake {
  static let id = "slow"
  static let idea = "every pass takes a second"
  let configuration: FakeConfiguration
  let shape: AttentionShape
  func misbehave(in context: ExecutionContext) throws { usleep(1_000_000) }
}

struct Crashing: Fake {
  static let id = "crashing"
  static let idea = "stops the process"
  let configuration: FakeConfiguration
  let shape: AttentionShape
  func misbehave(in context: ExecutionContext) throws { fatalError("it crashes, as it should") }
}

struct Hungry: Fake {
  static let id = "hungry"
  static let idea = "takes memory that no ledger sees"
  let configuration: FakeConfiguration
  let shape: AttentionShape
  func misbehave(in context: ExecutionContext) throws {
    var blocks: [[UInt8]] = []
    while blocks.count < 64 {
      blocks.append([UInt8](repeating: 1, count: 32 << 20))
      usleep(20_000)
    }
    withExtendedLifetime(blocks) {}
  }
}

struct Greedy: Fake {
  static let id = "greedy"
  static let idea = "asks the ledger for too much"
  let configuration: FakeConfiguration
  let shape: AttentionShape
  func misbehave(in context: ExecutionContext) throws {
    // Without a limit the system would decide, and systems differ.
    guard context.ledger?.limitBytes != nil else { return }
    _ = try Tensor(uninitialized: [1 << 34], ledger: context.ledger)
  }
}

struct Wrong: Fake {
  static let id = "wrong"
  static let idea = "is off by a little"
  let configuration: FakeConfiguration
  let shape: AttentionShape
  var fault: Float { 0.001 }
}

AttentionLab.main(
  catalog: Catalog([
    Plain.self, Slow.self, Crashing.self, Hungry.self, Greedy.self, Wrong.self, PaddedLength.self,
    PaddedContent.self, Sentinel.self,
  ]))
