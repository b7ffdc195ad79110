import AttentionCore
import Basics
import CKernels
import Tensors

/// Random rotations and the buckets that they give: `bucket = argmax [xR ; −xR]`.
///
/// Shape `[heads, dim, hashes, r]`: `r = buckets/2` for one factor; `(b₁ + b₂)/2` for two, where the bucket is
/// `argmax₁ + b₁·argmax₂`. The same rotations give the same buckets on every instruction set and number of threads.
/// - Source: Andoni et al., 2015; Kitaev et al., 2020.
struct RandomRotations: Sendable {
  /// The rotations, every head's in the order in which its kernel reads them (`attn_hash_pack`).
  private let packed: Tensor
  let heads: Int, dim: Int, hashes: Int
  /// The columns of the first factor, and of the second; 0 when there is one.
  let firstHalf: Int, secondHalf: Int

  /// Bytes of the rotations.
  var byteCount: Int { packed.count * MemoryLayout<Float>.stride }

  /// Draws rotations, every head from its own key.
  init(heads: Int, dim: Int, hashes: Int, firstHalf: Int, secondHalf: Int, key: RandomKey) {
    let size = dim * hashes * (firstHalf + secondHalf)
    var values: [Float] = []
    values.reserveCapacity(heads * size)
    for head in 0..<heads {
      var generator = key(head).generator()
      for _ in 0..<size { values.append(Float(generator.normal())) }
    }
    self.init(
      values, shape: [heads, dim, hashes, firstHalf + secondHalf], firstHalf: firstHalf,
      secondHalf: secondHalf)
  }

  /// Given rotations `[heads, dim, hashes, firstHalf + secondHalf]`, row-major.
  init(_ values: [Float], shape: [Int], firstHalf: Int, secondHalf: Int) {
    let (heads, dim, hashes) = (shape[0], shape[1], shape[2])
    (self.heads, self.dim, self.hashes) = (heads, dim, hashes)
    self.firstHalf = firstHalf
    self.secondHalf = secondHalf
    let size = dim * hashes * (firstHalf + secondHalf)
    precondition(values.count == heads * size, "\(values.count) rotations, not \(heads * size)")
    // Without a ledger no allocation is refused; rotations belong to the plan, not to the workspace.
    var packed = (try? Tensor(uninitialized: [heads, size])) ?? RandomRotations.empty
    precondition(packed.count == values.count, "rotations of shape \(shape) could not be kept")
    let target = packed.pinnedForWriting()
    for head in 0..<heads {
      values[(head * size)..<((head + 1) * size)].withUnsafeBufferPointer { source in
        guard let source = source.baseAddress else { return }
        attn_hash_pack(
          target + head * size, source, Int32(dim), Int32(hashes), Int32(firstHalf), Int32(secondHalf))
      }
    }
    self.packed = packed
  }

  private static let empty: Tensor = {
    do { return try Tensor(zeros: [0, 0]) } catch { preconditionFailure("\(error)") }
  }()

  /// Where the rotations of a head lie, in the order of the kernel.
  func packed(_ head: Int) -> PinnedView<Float> {
    packed.pinned().advanced(by: head * dim * hashes * (firstHalf + secondHalf))
  }

  /// The buckets that they give: `2·firstHalf`, times `2·secondHalf` of two factors.
  var bucketCount: Int { 2 * firstHalf * max(1, 2 * secondHalf) }
}

/// The rotations of every sequence of a batch, and the valid tokens that they hash.
struct BatchRotations: Sendable {
  /// Of a token that is in no bucket, being padding.
  static let noBucket: Int32 = -1

  /// The distinct ones: sequences of as many buckets share them.
  let sets: [RandomRotations]
  /// For every sequence the place of its own in `sets`.
  private let places: [Int]

  /// The same rotations for all sequences.
  init(_ set: RandomRotations, batch: Int) {
    sets = [set]
    places = Array(repeating: 0, count: batch)
  }

  /// Rotations by a number, such as that of buckets, that every sequence has; `draw` is called once for each.
  init<Number: Hashable>(_ numbers: [Number], draw: (Number) -> RandomRotations) {
    var distinct: [Number] = []
    places = numbers.map { number in
      if let place = distinct.firstIndex(of: number) { return place }
      distinct.append(number)
      return distinct.count - 1
    }
    sets = distinct.map(draw)
  }

  /// Those of a sequence.
  subscript(batch: Int) -> RandomRotations { sets[places[batch]] }

  /// Bytes of the rotations.
  var byteCount: Int { sets.reduce(0) { $0 + $1.byteCount } }

  /// The buckets of rows `[batch, rowHeads, length, dim]`, flat `[batch, heads, hashes, length]`; `noBucket` behind the valid
  /// rows of a sequence, which are not read. Rotation head `h` hashes row head `h / (heads / rowHeads)`.
  /// - Parameter valid: the valid rows of every sequence.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  /// - Complexity: O(batch · heads · length · dim · hashes · r).
  func buckets(of rows: Tensor, valid: [Int], in context: ExecutionContext) throws -> [Int32] {
    let (batch, length, dim) = (rows.shape[0], rows.shape[2], rows.shape[3])
    precondition(batch == places.count && batch == valid.count, "\(batch) sequences, not \(places.count)")
    guard let first = sets.first else { return [] }
    let (heads, hashes, group) = (first.heads, first.hashes, first.heads / rows.shape[1])
    // Hashes are made in float32, of the rows as they are stored.
    let rows = rows.precision == .float32 ? rows : try rows.converted(to: .float32, ledger: context.ledger)
    let block = 512
    let blocks = (length + block - 1) / block
    let scratchFloats = 64 * ((dim + 15) / 16 * 16)
    let threads = context.threads
    let region = try Region([threads, scratchFloats], in: context.ledger)
    let source = rows.rows()
    let total = batch * heads * hashes * length
    let buckets = try PinnedView(
      repeating: BatchRotations.noBucket, count: total, in: context.ledger)
    try Parallel.forEach(count: batch * heads * blocks, threads: threads) { index, worker in
      try context.checkCancellation()
      let first = index % blocks * block
      let (sequence, head) = (index / blocks / heads, index / blocks % heads)
      let count = min(block, valid[sequence] - first)
      guard count > 0 else { return }
      let own = self[sequence], packed = own.packed(head)
      attn_hash_rows(
        context.instructionSet.code, source.row(sequence, head / group, first), Int64(source.rowStride),
        Int32(count), Int32(dim), packed.pointer, Int32(hashes), Int32(own.firstHalf),
        Int32(own.secondHalf), buckets + (sequence * heads + head) * hashes * length + first,
        Int64(length), region.at(worker * scratchFloats))
    }
    return buckets.array(count: total)
  }
}
