import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Measuring

@Suite("the length at which a pattern can be seen")
struct PatternSampleTests {
  private func sample(
    _ id: String, _ settings: [String: ParameterValue] = [:], heads: Int = 1, isCausal: Bool = false
  ) throws -> PatternSample? {
    let shape = try AttentionShape(queryHeads: heads, queryLength: 1, headDim: 16, isCausal: isCausal)
    return PatternSample(
      try Catalog.standard.type(of: id), settings: settings, like: shape, key: RandomKey(seed: 1))
  }

  @Test("a window of 256 keys on both sides is seen at 1024 rows, one of 8 at 64, full attention at none")
  func lengths() throws {
    let wide = try #require(try sample("sliding-window", ["left": .int(256), "right": .int(256)]))
    #expect(wide.length == 2048 && wide.share <= PatternSample.visible)
    let narrow = try #require(try sample("sliding-window", ["left": .int(8), "right": .int(8)]))
    #expect(narrow.length == 64)
    let full = try #require(try sample("full", isCausal: true))
    #expect(full.length == 64 && full.share == 1)
  }

  @Test("one head of several is counted, as it is among all")
  func oneHead() throws {
    let windows: [String: ParameterValue] = ["left": .list([4, 64]), "right": .int(0)]
    let some = try #require(try sample("sliding-window", windows, heads: 2, isCausal: true))
    #expect(some.counts.heads == 1)
    #expect(some.counts.pairs == Double(5 * 64 - 10))
  }

  @Test(
    "what depends on data is shown where it can be seen, too: the windows of a hash in 1024 rows or fewer")
  func dataThatIsWide() throws {
    let hashed = try #require(try sample("lsh", ["hashes": .int(1)]))
    #expect(
      hashed.isVisible && hashed.length > 256 && hashed.length <= 1024, "\(hashed.length): \(hashed.share)")
  }

  @Test("what depends on data is shown on Gaussian rows, a recurrence not at all")
  func data() throws {
    let chosen = try #require(try sample("top-k", ["keys": .int(4)]))
    #expect(chosen.counts.pairs == 4 * 64)
    #expect(try sample("retention", isCausal: true) == nil)
  }

  @Test(
    "every variant of the catalogue has a picture or none: nothing fails", arguments: Catalog.standard.types)
  func all(type: any AttentionVariant.Type) throws {
    for isCausal in [false, true] {
      let shape = try AttentionShape(queryHeads: 2, queryLength: 1, headDim: 16, isCausal: isCausal)
      guard let sample = PatternSample(type, settings: [:], like: shape, key: RandomKey(seed: 1)) else {
        continue
      }
      #expect(sample.share > 0 && sample.share <= 1, "\(type.card.id)")
      let picture = PatternPicture(counts: sample.counts, head: 0).thumbnail
      #expect(picture.utf8.count < 40_000, "\(type.card.id): \(picture.utf8.count) bytes")
    }
  }
}
