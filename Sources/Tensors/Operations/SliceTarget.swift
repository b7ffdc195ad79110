import CKernels

/// Where the product of a slice of k goes, and the sums of the rows of a transposed A with it.
///
/// One worker adds slice after slice to C. Several, where slices are work of their own, give each a C, and add them in the same order.
struct SliceTarget {
  let c: UnsafeMutablePointer<Float>
  /// Added to the product.
  let add: UnsafePointer<Float>?
  let rowSums: UnsafeMutablePointer<Float>?

  init(
    _ slice: Int, c: UnsafeMutablePointer<Float>, addend: UnsafePointer<Float>?,
    rowSums: UnsafeMutablePointer<Float>?
  ) {
    (self.c, self.rowSums) = (c, rowSums)
    add = slice > 0 ? UnsafePointer(c) : addend
  }

  /// C itself.
  init(_ slice: Int, of job: GemmJob) {
    self.init(slice, c: job.c, addend: job.addend, rowSums: job.rowSums)
  }

  /// The C of a slice, and behind it sums that are 0.
  init(_ slice: Int, of plan: GemmPlan, in partials: UnsafeMutablePointer<Float>) {
    c = partials + slice * plan.partialCount
    (add, rowSums) = (nil, c + plan.m * plan.n)
  }

  /// Adds the sums over a slice of some rows of a transposed A, which `sum` adds to zeros: they are summed by themselves.
  func addRowSums(_ row: Int, _ rows: Int, _ isa: Int32, sum: (UnsafeMutablePointer<Float>) -> Void) {
    guard let rowSums else { return }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: rows) { room in
      guard let sums = room.baseAddress else { return }
      sums.update(repeating: 0, count: rows)
      sum(sums)
      attn_add(isa, rowSums + row, sums, Int64(rows))
    }
  }
}

extension GemmPlan {
  /// Sets the row sums of all slices to 0.
  func clearRowSums(_ partials: UnsafeMutablePointer<Float>) {
    for slice in 0..<depthSlices {
      (partials + slice * partialCount + m * n).update(repeating: 0, count: m)
    }
  }

  /// Adds the C of every slice, in order, to a part of C, which counts from the first unless `adds`.
  func addSlices(
    _ part: Range<Int>, of partials: UnsafePointer<Float>, to c: UnsafeMutablePointer<Float>, adds: Bool
  ) {
    let own = c + part.lowerBound
    for slice in 0..<depthSlices {
      let from = partials + slice * partialCount + part.lowerBound
      if slice == 0, !adds { own.update(repeating: 0, count: part.count) }
      attn_add(isa, own, from, Int64(part.count))
    }
  }

  /// Adds the row sums of every slice in order.
  func addRowSums(of partials: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>) {
    for slice in 0..<depthSlices {
      attn_add(isa, sums, partials + slice * partialCount + m * n, Int64(m))
    }
  }
}
