import AttentionCore
import Basics
import Tensors

/// Draws which blocks every block row of one head sees.
struct RandomSparseBlocks {
  private let configuration: RandomSparse.Configuration
  private let shape: AttentionShape
  /// Blocks of valid keys.
  private let count: Int
  private let key: RandomKey
  /// The blocks that each block row sees, sorted, with repetition.
  private(set) var visible: [[Int]] = []

  init(
    _ configuration: RandomSparse.Configuration, _ shape: AttentionShape, validKeys: Int, key: RandomKey
  ) {
    self.configuration = configuration
    self.shape = shape
    self.key = key
    let size = configuration.blockSize
    count = (validKeys + size - 1) / size
    visible = (0..<(shape.positions + size - 1) / size).map { row in
      if count == 0 { return [] }
      if isGlobal(row) { return Array(0..<count) }
      var blocks = fixedBlocks(of: row)
      var generator = key(row).generator()
      let drawn =
        configuration.draws == .google
        ? googleDraws(row, &generator) : uniformDraws(row, seen: blocks, &generator)
      blocks += drawn
      blocks.sort()
      return blocks
    }
  }

  private func isGlobal(_ block: Int) -> Bool {
    switch configuration.globalBlocks {
    case .firstAndLast: block == 0 || block == count - 1
    case .first: block == 0
    case .none: false
    }
  }

  /// Global blocks and the window, each once, in order.
  private func fixedBlocks(of row: Int) -> [Int] {
    let half = configuration.windowBlocks / 2
    let end = min(count, row + half + 1)
    let window = min(max(0, row - half), end)..<end
    var blocks: [Int] = []
    blocks.reserveCapacity(window.count + 2 + configuration.randomBlocks)
    if configuration.globalBlocks != .none, !window.contains(0) { blocks.append(0) }
    blocks += window
    if configuration.globalBlocks == .firstAndLast, count > 1, !window.contains(count - 1) {
      blocks.append(count - 1)
    }
    return blocks
  }

  /// Draws without replacement from the blocks that the row does not see yet; in a causal shape, of the past.
  private func uniformDraws(_ row: Int, seen: [Int], _ generator: inout RandomGenerator) -> [Int] {
    let seen = shape.isCausal ? seen.filter { $0 < row } : seen
    var free = (shape.isCausal ? min(row, count) : count) - seen.count
    // Chosen places among the blocks not seen, sorted; a sparse Fisher–Yates, so a row costs O(randomBlocks²).
    var chosen: [Int] = []
    chosen.reserveCapacity(configuration.randomBlocks)
    while chosen.count < configuration.randomBlocks, free > 0 {
      var place = generator.integer(below: free)
      for taken in chosen where taken <= place { place += 1 }
      chosen.insert(place, at: chosen.firstIndex { $0 > place } ?? chosen.count)
      free -= 1
    }
    for index in chosen.indices { for taken in seen where taken <= chosen[index] { chosen[index] += 1 } }
    return chosen
  }

  /// The draws of the published code: lengths 1024, 3072 and 4096 use the plan of the paper, others the later plan.
  private func googleDraws(_ row: Int, _ generator: inout RandomGenerator) -> [Int] {
    let length = shape.queryLength
    return [1024, 3072, 4096].contains(length)
      ? paperPlan(row, &generator) : laterPlan(row, &generator)
  }

  /// `bigbird_block_rand_mask` for a model of 4096 tokens with `last_idx = 1024`: candidates end at token 1024.
  private func paperPlan(_ row: Int, _ generator: inout RandomGenerator) -> [Int] {
    let size = configuration.blockSize
    let modelBlocks = 4096 / size
    let middle = Array(1..<max(2, modelBlocks - 1))
    let last = 1024 > 2 * size ? 1024 / size - 1 : modelBlocks - 1
    func prefix(_ end: Int) -> ArraySlice<Int> { middle[..<min(max(0, end), middle.count)] }
    func slice(_ begin: Int, _ end: Int) -> [Int] { Array(prefix(end).dropFirst(begin)) }
    var candidates: [Int]
    switch row {
    case 1: candidates = slice(2, last)
    case 2: candidates = slice(3, last)
    case modelBlocks - 3, modelBlocks - 2: candidates = slice(0, last)
    default:
      if row - 2 > last {
        candidates = slice(0, last)
      } else if row + 1 == last {
        candidates = slice(0, row - 2)
      } else {
        candidates = slice(0, row - 2) + slice(row + 1, last)
      }
    }
    candidates.shuffle(using: &generator)
    // Never a key that the sequence does not have: the code's model length may exceed the sequence's.
    return candidates.prefix(configuration.randomBlocks).filter { $0 < count }
  }

  /// `bigbird_block_rand_mask_with_head` with the plan of `get_rand_attn_plan`: draws from a prefix of blocks.
  private func laterPlan(_ row: Int, _ generator: inout RandomGenerator) -> [Int] {
    let random = configuration.randomBlocks
    let parts: [(end: Int, draws: Int)]
    if 2 * random + 5 < count {
      parts = [(2 * random + 5, random), (count, 0)]
    } else if random + 5 < count {
      parts = [(random + 5, random / 2), (count, random - random / 2)]
    } else {
      parts = [(count, random)]
    }
    var drawn: [Int] = []
    var begin = 0
    for part in parts {
      var illegal = Set([row - 1, row, row + 1, 0, part.end - 1])
      if row == 1 { illegal.insert(part.end - 2) }
      if row == part.end - 2 { illegal.insert(1) }
      var candidates = Array(begin..<part.end).filter { !illegal.contains($0) }
      candidates.shuffle(using: &generator)
      drawn += candidates.prefix(part.draws)
      begin = part.end
    }
    return drawn
  }
}
