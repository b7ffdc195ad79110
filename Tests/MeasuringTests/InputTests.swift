import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Measuring
import Tensors
import Testing

@Suite struct InputTests {
  private func moments(_ tensor: Tensor) -> (mean: Double, variance: Double) {
    let values = tensor.array().map { Double($0) }
    let mean = values.reduce(0, +) / Double(values.count)
    return (mean, values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count))
  }

  @Test(arguments: [InputSource.gaussian, .text(path: nil)])
  func elementsHaveVarianceOneAndTheSeedDecides(source: InputSource) throws {
    let shape = try AttentionShape(batch: 2, queryHeads: 2, queryLength: 100, headDim: 24)
    func make(_ seed: UInt64) throws -> Operands {
      try InputMaker(source, seed: seed, limit: 1000).make(shape, ledger: nil)
    }
    let (first, again, other) = (try make(1), try make(1), try make(2))
    #expect(first.query.array() == again.query.array())
    #expect(first.query.array() != other.query.array())
    #expect(first.query.array() != first.key.array())
    for tensor in [first.query, first.key, first.value] {
      let (mean, variance) = moments(tensor)
      #expect(abs(mean) < 0.3 && variance > 0.6 && variance < 1.6, "\(source): \(mean), \(variance)")
    }
  }

  @Test func theSameByteAtTheSamePlaceIsTheSameRow() throws {
    let scratch = try Scratch(), folder = scratch.path
    func rows(_ text: String) throws -> [[Float]] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/a.txt"))
      let shape = try AttentionShape(queryLength: 4, headDim: 8)
      let query = try InputMaker(.text(path: folder), seed: 1, limit: 100).make(shape, ledger: nil).query
        .array()
      return (0..<4).map { Array(query[$0 * 8..<($0 + 1) * 8]) }
    }
    let (a, b) = (try rows("abcd"), try rows("abXd"))
    #expect(a[0] == b[0] && a[1] == b[1] && a[3] == b[3] && a[2] != b[2])
    // A short text is read cyclically; the position still tells its copies apart.
    let short = try rows("ab")
    #expect(short[0] == a[0] && short[2] != short[0])
  }

  @Test func theLastQueryOfACausalShapeIsTheLastToken() throws {
    let maker = try InputMaker(.text(path: nil), seed: 1, limit: 100)
    let all = try maker.make(AttentionShape(queryLength: 6, headDim: 4, isCausal: true), ledger: nil)
    let last = try maker.make(
      AttentionShape(queryLength: 1, keyLength: 6, headDim: 4, isCausal: true), ledger: nil)
    #expect(Array(all.query.array().suffix(4)) == last.query.array())
    #expect(all.key.array() == last.key.array())
  }

  @Test(arguments: ["/no/such/file"])
  func aMissingTextIsAnError(path: String) {
    let line = "input.text: \(path): no such file or folder; name a text file or a folder of text files"
    #expect(throws: UsageError(line)) {
      try InputMaker(.text(path: path), seed: 1, limit: 10)
    }
  }
}
