import Foundation
import Testing

@testable import Processor

/// What is decided by the machine: the road of bfloat16, and the size of the last-level cache.
@Suite struct MachineChoiceTests {
  @Test(
    "products are taken where they are faster: Zen 5 and Zen 4, not Emerald Rapids without AMX",
    arguments: [
      (458.0, 254.0, BFloat16Road.products), (172, 350, .upconvert), (2, 1, .products), (1.1, 1, .upconvert),
      (0.9, 1, .upconvert),
    ])
  func road(_ products: Double, _ float32: Double, _ expected: BFloat16Road) {
    let choice = BFloat16Choice(hasProducts: true) { .init(products: products * 1e9, float32: float32 * 1e9) }
    #expect(choice.road == expected)
    #expect(choice.reason.contains("times the float32 rate"))
    #expect(choice.rates?.ratio == products / float32)
  }

  @Test("a forced road is not measured, nor is one without a choice")
  func forced() {
    for road in BFloat16Road.allCases {
      let choice = BFloat16Choice(hasProducts: true, forced: road) {
        Issue.record("measured")
        return .init(products: 1, float32: 1)
      }
      #expect(choice.road == road)
      #expect(choice.reason == "ATTNLAB_BF16 says so")
    }
    let none = BFloat16Choice(hasProducts: false, forced: .products) {
      Issue.record("measured")
      return .init(products: 1, float32: 1)
    }
    #expect(none.road == .upconvert)
    #expect(BFloat16Choice.of(.portable).road == .upconvert)
  }

  @Test("the sizes of caches are those of data, in the system's units")
  func cache() throws {
    let folder = NSTemporaryDirectory() + "attnlab-cache-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(CacheSizes(folder: folder) == CacheSizes())
    for (index, level, size, type) in [
      (0, 1, "48K", "Data"), (1, 1, "64K", "Instruction"), (2, 2, "2048K", "Unified"),
      (3, 3, "266240K", "Unified"),
    ] {
      let path = "\(folder)/index\(index)"
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try Data("\(level)\n".utf8).write(to: URL(fileURLWithPath: path + "/level"))
      try Data("\(size)\n".utf8).write(to: URL(fileURLWithPath: path + "/size"))
      try Data("\(type)\n".utf8).write(to: URL(fileURLWithPath: path + "/type"))
    }
    #expect(CacheSizes(folder: folder) == CacheSizes(first: 48 << 10, second: 2 << 20, last: 260 << 20))
    #expect(CacheSizes.bytes(parsing: "1G") == 1 << 30)
    #expect(CacheSizes.bytes(parsing: "4096") == 4096)
    #expect(CacheSizes.bytes(parsing: "-1K") == nil)
    #expect(CacheSizes.bytes(parsing: "nonsense") == nil)
    #expect(LastLevelCache.bytes > 0)
  }
}
