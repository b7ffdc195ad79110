import Basics

/// One choice, declared once: its name, unit, range and equation; tables, files and the environment derive from it.
public struct ProcessorChoice: Sendable {
  /// A value and what it follows from.
  public typealias Derived = (value: Int, reason: String)

  /// The name, in snake_case.
  public let name: String
  /// The unit.
  public let unit: String
  /// What may be chosen.
  public let allowed: ClosedRange<Int>
  /// Every value is a multiple of this.
  public let step: Int
  /// Whether another value changes the last bits of results.
  public let changesBits: Bool
  /// What it is, in a few words.
  public let help: String
  /// The equation that gives it, with units.
  public let equation: String
  let path: WritableKeyPath<ProcessorChoices, Int> & Sendable
  private let rule: @Sendable (ProcessorDescription) -> Derived?

  /// The value for a processor and what it follows from; where what it needs is unknown, the assumed one.
  public func derived(_ processor: ProcessorDescription) -> Derived {
    rule(processor) ?? (ProcessorChoices.assumed[self], "assumed")
  }

  /// One line when a value is not allowed, else `nil`.
  public func problem(with value: Int) -> String? {
    if allowed.contains(value), value % step == 0 { return nil }
    let steps = step > 1 ? ", multiples of \(step)" : ""
    return "\(name): \(value); it takes \(allowed.lowerBound) … \(allowed.upperBound) \(unit)\(steps)"
  }

  /// The choice of this name.
  public static func named(_ name: String) -> ProcessorChoice? { all.first { $0.name == name } }

  private init(
    _ name: String, _ path: WritableKeyPath<ProcessorChoices, Int> & Sendable, in allowed: ClosedRange<Int>,
    by step: Int = 1, unit: String, changesBits: Bool, help: String, equation: String,
    rule: @escaping @Sendable (ProcessorDescription) -> Derived? = { _ in nil }
  ) {
    (self.name, self.path, self.allowed, self.step, self.unit) = (name, path, allowed, step, unit)
    (self.changesBits, self.help, self.equation, self.rule) = (changesBits, help, equation, rule)
  }

  private static func describe(_ bytes: Int) -> String { Quantity.describe(bytes: Double(bytes)) }

  /// A part of a cache, within limits.
  private static func share(
    of cache: Int?, _ divisor: Int, in range: ClosedRange<Int>, named level: String
  ) -> Derived? {
    cache.map {
      let part = $0 / divisor / 4096 * 4096, value = min(max(part, range.lowerBound), range.upperBound)
      let limit = part > value ? ", at most " : part < value ? ", at least " : ""
      return (
        value,
        "\(divisor == 2 ? "half" : "a quarter") of the \(level)-level cache of \(describe($0))"
          + (limit.isEmpty ? "" : limit + describe(value))
      )
    }
  }

  private static let twoCycles = "a multiply-add of 512 bits takes two cycles here: low tiles lose nothing"

  /// All choices, in the order in which they are shown.
  public static let all: [ProcessorChoice] = [
    ProcessorChoice(
      "kv_block_bytes", \.kvBlockBytes, in: 32 << 10...4 << 20, by: 4096, unit: "bytes", changesBits: true,
      help: "keys and values, and their gradients, of a block that the tiles of a group share",
      equation: "L2 / 4, 64 KiB … 1 MiB"
    ) { share(of: $0.caches.second, 4, in: 64 << 10...1 << 20, named: "second") },
    ProcessorChoice(
      "local_keys", \.localKeys, in: 128...65536, unit: "keys", changesBits: true,
      help: "keys a row up to which tiles run one after the other",
      equation: "L2 / 2 / 512 bytes (k and v of 64 numbers), 512 … 2048"
    ) {
      $0.caches.second.map {
        (
          min(max($0 / 2 / 512, 512), 2048),
          "half of the second-level cache of \(describe($0)), 512 bytes a key"
        )
      }
    },
    ProcessorChoice(
      "forward_tiles", \.forwardTiles, in: 1...16, unit: "tiles", changesBits: false,
      help: "tiles that share a KV block, forward", equation: "4"),
    ProcessorChoice(
      "backward_tiles", \.backwardTiles, in: 1...32, unit: "tiles", changesBits: true,
      help: "tiles that share a KV block, backward", equation: "8"),
    ProcessorChoice(
      "local_backward_tiles", \.localBackwardTiles, in: 1...8, unit: "tiles", changesBits: true,
      help: "tiles that run at once, backward, where rows see few keys", equation: "2"),
    ProcessorChoice(
      "band_rows", \.bandRows, in: 16...64, by: 16, unit: "rows", changesBits: true,
      help: "rows of a forward tile over a narrow band",
      equation:
        "16 where 512 bits take two cycles (Zen 4), 32 where a strip of the kernels has 64 rows, else 64: lower strips skip what their band hides"
    ) {
      $0.halvesWideVectors
        ? (16, twoCycles)
        : ($0.stripRows >= 64 ? 32 : 64, "strips of \($0.stripRows) rows (\($0.instructionSet))")
    },
    ProcessorChoice(
      "band_backward_rows", \.bandBackwardRows, in: 16...64, by: 16, unit: "rows", changesBits: true,
      help: "rows of a backward tile over a narrow band",
      equation: "16 where 512 bits take two cycles (Zen 4), else 64"
    ) { $0.halvesWideVectors ? (16, twoCycles) : nil },
    ProcessorChoice(
      "band_keys", \.bandKeys, in: 1...65536, unit: "keys", changesBits: true,
      help: "keys a row below which a band is narrow", equation: "600"),
    ProcessorChoice(
      "near_block_bytes", \.nearBlockBytes, in: 4 << 10...256 << 10, by: 1024, unit: "bytes",
      changesBits: true,
      help: "of the first-level cache for a block of keys that several strips read",
      equation: "L1 / 2, 8 … 16 KiB: more was not measured to be better"
    ) { share(of: $0.caches.first, 2, in: 8 << 10...16 << 10, named: "first") },
    ProcessorChoice(
      "split_keys", \.splitKeys, in: 2048...1 << 20, by: 1024, unit: "keys", changesBits: true,
      help: "the fewest keys of a part of a row's keys, which threads share when decoding", equation: "2048"),
    ProcessorChoice(
      "product_rows", \.productRows, in: 12...960, by: 12, unit: "rows", changesBits: false,
      help: "rows of a block of a packed product", equation: "96"),
    ProcessorChoice(
      "product_depth", \.productDepth, in: 64...4096, by: 64, unit: "numbers", changesBits: true,
      help: "the most k that a packed product takes at once",
      equation: "the power of two below L2 / 4 / (96 rows · 4 bytes), 128 … 512"
    ) {
      $0.caches.second.map { cache in
        let fitting = cache / 4 / (96 * 4)
        let power = fitting < 1 ? 1 : 1 << (Int.bitWidth - 1 - fitting.leadingZeroBitCount)
        return (
          min(max(power, 128), 512), "96 rows in a quarter of the second-level cache of \(describe(cache))"
        )
      }
    },
    ProcessorChoice(
      "page_rows", \.pageRows, in: 1...64, unit: "rows", changesBits: false,
      help:
        "rows a multiple of 4 KiB apart that a product reads in place: the lines of a set of the first-level cache",
      equation: "L1 / 4 KiB, 4 … 16"
    ) {
      $0.caches.first.map {
        (min(max($0 / 4096, 4), 16), "the first-level cache of \(describe($0)), 4 KiB a way")
      }
    },
    ProcessorChoice(
      "place_distances", \.placeDistances, in: 1...1 << 30, unit: "floats²", changesBits: false,
      help: "of the rows of A and B, up to which a product that sums over rows reads both in place",
      equation: "2¹⁵ where a strip of the kernels has fewer than 64 rows, 2¹⁶ on Intel, else 2¹⁸"
    ) {
      $0.stripRows < 64
        ? (1 << 15, "strips of \($0.stripRows) rows (\($0.instructionSet))")
        : $0.isIntel ? (1 << 16, "rows 4 KiB apart are read at half the speed here") : nil
    },
    ProcessorChoice(
      "parallel_operations", \.parallelOperations, in: 1 << 12...1 << 30, unit: "operations",
      changesBits: false,
      help: "of a product from which on threads share it", equation: "524288"),
    ProcessorChoice(
      "parallel_weights", \.parallelWeights, in: 1 << 10...1 << 30, unit: "weights", changesBits: false,
      help: "above which threads share a product of few rows", equation: "262144"),
    ProcessorChoice(
      "prefetches_rows", \.prefetchesRows, in: 0...1, unit: "(0 or 1)", changesBits: false,
      help: "whether a tile prefetches the scattered rows of the next one", equation: "1"),
    ProcessorChoice(
      "warms_keys", \.warmsKeys, in: 0...1, unit: "(0 or 1)", changesBits: false,
      help: "whether a tile alone with its keys first reads them in the order of memory", equation: "1"),
    ProcessorChoice(
      "far_bytes", \.farBytes, in: 0...1 << 40, unit: "bytes", changesBits: false,
      help:
        "of keys and values above which four to twelve rows, as in decoding, ask for them ahead; 0: never",
      equation: "8 · L2 on Intel, else 0"
    ) {
      guard $0.isIntel, let cache = $0.caches.second else { return nil }
      return (8 * cache, "eight times the second-level cache of \(describe(cache))")
    },
  ]
}
