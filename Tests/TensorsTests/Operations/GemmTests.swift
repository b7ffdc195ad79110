import Basics
import Tensors
import Testing

/// The packed product against a loop in Double, on every instruction set, orientation and awkward size.
@Suite struct GemmTests {
  static let sizes = [
    (1, 1, 1), (3, 5, 7), (12, 32, 16), (13, 33, 65), (25, 70, 330), (150, 9, 40), (2, 100, 3), (1, 131, 517),
    (4, 67, 70), (16, 40, 64), (17, 40, 64), (53, 96, 33), (64, 64, 530),
  ]

  @Test(arguments: InstructionSet.available, sizes)
  func agreesWithDouble(_ set: InstructionSet, _ size: (Int, Int, Int)) throws {
    let (m, n, k) = size
    for (aSide, bSide) in [
      (ExecutionContext.Orientation.plain, ExecutionContext.Orientation.plain), (.plain, .transposed),
      (.transposed, .plain),
      (.transposed, .transposed),
    ] {
      let key = RandomKey(seed: 7)(m)(n)(k)
      let a = try Tensor.normal(aSide == .plain ? [m, k] : [k, m], key: key("a"))
      let b = try Tensor.normal(bSide == .plain ? [k, n] : [n, k], key: key("b"))
      let bias = try Tensor.normal([n], key: key("bias"))
      let context = ExecutionContext.recycling(threads: 2, instructionSet: set)
      let product = try context.matmul(a, aSide, b, bSide, bias: bias)
      var sum = try Tensor.normal([3 + m * n], key: key("c"))
      let before = sum.array()
      try context.gemm(a, aSide, b, bSide, into: &sum, at: 3, accumulate: true)
      let (x, y, z) = (a.array(), b.array(), bias.array())
      let (got, added) = (product.array(), sum.array())
      for i in 0..<m {
        for j in 0..<n {
          var exact = 0.0, magnitude = 1e-3
          for p in 0..<k {
            let left = Double(aSide == .plain ? x[i * k + p] : x[p * m + i])
            let right = Double(bSide == .plain ? y[p * n + j] : y[j * k + p])
            exact += left * right
            magnitude += abs(left * right)
          }
          let bound = magnitude * 6e-8 * Double(8 + k)
          #expect(abs(Double(got[i * n + j]) - exact - Double(z[j])) <= bound + 1e-6)
          #expect(abs(Double(added[3 + i * n + j]) - exact - Double(before[3 + i * n + j])) <= bound + 1e-6)
        }
      }
      #expect(Array(added[..<3]) == Array(before[..<3]))
    }
  }

  /// Narrow matrices are read in place, rows that lie far apart are packed first.
  @Test(arguments: InstructionSet.available, [(53, 96, 33), (100, 64, 600), (12, 32, 5)])
  func bitsDoNotDependOnPacking(_ set: InstructionSet, _ size: (Int, Int, Int)) throws {
    let (m, n, k) = size
    func pair(_ rows: Int, _ columns: Int, _ seed: UInt64) throws -> [Tensor] {
      let wide = try Tensor.normal([rows, 1100 + columns], key: RandomKey(seed: seed))
        .narrowed(axis: 1, to: 7..<7 + columns)
      return [wide.contiguous(), wide]
    }
    for (aSide, bSide) in [
      (ExecutionContext.Orientation.plain, ExecutionContext.Orientation.plain), (.plain, .transposed),
      (.transposed, .plain),
    ] {
      let a = try aSide == .plain ? pair(m, k, 1) : pair(k, m, 1)
      let b = try bSide == .plain ? pair(k, n, 2) : pair(n, k, 2)
      let bias = try Tensor.normal([n], key: RandomKey(seed: 3))
      for threads in [1, 3] {
        let context = ExecutionContext.recycling(threads: threads, instructionSet: set)
        let (narrow, wide) = try (
          context.matmul(a[0], aSide, b[0], bSide, bias: bias, activating: .gelu),
          context.matmul(a[1], aSide, b[1], bSide, bias: bias, activating: .gelu)
        )
        #expect(narrow.after.array() == wide.after.array(), "\(aSide), \(bSide)")
        #expect(narrow.slope?.array() == wide.slope?.array(), "\(aSide), \(bSide)")
      }
    }
  }

  @Test func bitsDoNotDependOnThreads() throws {
    let a = try Tensor.normal([150, 90], key: RandomKey(seed: 1)),
      b = try Tensor.normal([90, 40], key: RandomKey(seed: 2))
    let results = try [1, 2, 3].map {
      try ExecutionContext.recycling(threads: $0).matmul(a, .plain, b).array()
    }
    #expect(results[0] == results[1] && results[0] == results[2])
  }

  /// Few rows read W in place: the same bits for any number of threads, and whatever rows stand beside one.
  @Test(arguments: InstructionSet.available)
  func bitsOfFewRowsAreTheirOwn(_ set: InstructionSet) throws {
    let x = try Tensor.normal([7, 515], key: RandomKey(seed: 1)),
      w = try Tensor.normal([603, 515], key: RandomKey(seed: 2)),
      bias = try Tensor.normal([603], key: RandomKey(seed: 3))
    func product(_ rows: Range<Int>, threads: Int) throws -> [Float] {
      try ExecutionContext.recycling(threads: threads, instructionSet: set)
        .matmul(x.narrowed(axis: 0, to: rows), .plain, w, .transposed, bias: bias).array()
    }
    let all = try product(0..<7, threads: 1)
    #expect(try product(0..<7, threads: 3) == all)
    for rows in [0..<1, 1..<3, 2..<5, 3..<7, 1..<6] {
      #expect(
        try product(rows, threads: 2) == Array(all[rows.lowerBound * 603..<rows.upperBound * 603]), "\(rows)")
    }
  }

  @Test func recyclingLedgerReachesASteadyState() throws {
    let ledger = MemoryLedger(recycles: true)
    let context = ExecutionContext(threads: 2, ledger: ledger)
    let a = try Tensor.normal([64, 48], key: RandomKey(seed: 1)),
      b = try Tensor.normal([48, 40], key: RandomKey(seed: 2))
    func step() throws { _ = try context.activate(try context.matmul(a, .plain, b), .gelu) }
    try step()
    let after = ledger.systemAllocations
    for _ in 0..<5 { try step() }
    #expect(after > 0)
    #expect(ledger.systemAllocations == after)
    #expect(ledger.currentBytes == 0)
  }

  /// What is fused into a product has the bits of the separate passes: few rows, tails, blocks of 96 rows, of 256
  /// columns, slices of 512 of k.
  @Test(arguments: InstructionSet.available, [(1, 19, 21), (16, 70, 9), (130, 301, 33), (100, 40, 700)])
  func fusedActivationsAreTheSeparatePasses(_ set: InstructionSet, _ size: (Int, Int, Int)) throws {
    let (m, n, k) = size
    let x = try Tensor.normal([m, k], key: RandomKey(seed: 1)),
      w = try Tensor.normal([n, k], key: RandomKey(seed: 2)),
      bias = try Tensor.normal([n], key: RandomKey(seed: 3)),
      z = try Tensor.normal([m, n], key: RandomKey(seed: 4)),
      v = try Tensor.normal([k, n], key: RandomKey(seed: 5))
    for kind in Activation.allCases {
      for threads in [1, 3] {
        let context = ExecutionContext.recycling(threads: threads, instructionSet: set)
        let fused = try context.matmul(x, .plain, w, .transposed, bias: bias, activating: kind)
        let before = try context.matmul(x, .plain, w, .transposed, bias: bias)
        let ones = try Tensor([Float](repeating: 1, count: m * n), shape: [m, n])
        let slope = try context.activateBackward(ones, x: before, kind)
        #expect(fused.slope?.array() == slope.array(), "\(kind)")
        #expect(try fused.after.array() == context.activate(before, kind).array(), "\(kind)")
        let without = try context.matmul(
          x, .plain, w, .transposed, bias: bias, activating: kind, withSlope: false)
        #expect(without.slope == nil && without.after.array() == fused.after.array(), "\(kind)")
        let ofZ = try context.activateBackward(ones, x: z, kind)
        let sloped = try context.matmul(x, .plain, v, .plain, times: ofZ)
        let gradient = try context.matmul(x, .plain, v, .plain)
        #expect(try sloped.array() == context.activateBackward(gradient, x: z, kind).array(), "\(kind)")
      }
    }
  }

  /// A residual is added with one more rounding; row sums are those of the separate pass over every slice of k, bit for bit. Three
  /// workers share slices of k where C is small: the bits of one.
  @Test(
    arguments: InstructionSet.available, [(3, 19, 21), (130, 70, 33), (100, 40, 1100), (300, 256, 1030)])
  func residualsAndRowSums(_ set: InstructionSet, _ size: (Int, Int, Int)) throws {
    let (m, n, k) = size
    let x = try Tensor.normal([m, k], key: RandomKey(seed: 1)),
      w = try Tensor.normal([n, k], key: RandomKey(seed: 2)),
      residual = try Tensor.normal([m, n], key: RandomKey(seed: 3)),
      y = try Tensor.normal([k, n], key: RandomKey(seed: 4)),
      a = try Tensor.normal([k, m], key: RandomKey(seed: 5))
    var results: [[Float]] = []
    for threads in [1, 3] {
      var context = ExecutionContext.recycling(threads: threads, instructionSet: set)
      context.choices.productDepth = 512
      let sum = try context.matmul(x, .plain, w, .transposed, adding: residual).array()
      let product = try context.matmul(x, .plain, w, .transposed).array()
      // Elements are about √k large; adding the residual first moves every slice's rounding by half an ulp.
      let bound = Float(k).squareRoot() * 8 * Float.ulpOfOne * Float(1 + k / 512)
      for (at, value) in residual.array().enumerated() {
        #expect(abs(sum[at] - (product[at] + value)) <= bound)
      }
      var fused = try Tensor(zeros: [m * n + m + 1]), apart = fused
      try context.gemm(a, .transposed, y, .plain, into: &fused, accumulate: true, rowSumsAt: m * n + 1)
      try context.gemm(a, .transposed, y, .plain, into: &apart, accumulate: true)
      let slices = (k + 511) / 512, depth = (k + slices - 1) / slices
      for first in stride(from: 0, to: k, by: depth) {
        var part = try Tensor(zeros: [m])
        let rows = a.narrowed(axis: 0, to: first..<min(k, first + depth))
        context.accumulateColumnSums(rows, into: &part, at: 0)
        context.accumulateColumnSums(part.reshaped([1, m]), into: &apart, at: m * n + 1)
      }
      #expect(fused.array() == apart.array())
      results.append(sum + fused.array())
    }
    #expect(results[0] == results[1])
  }
}
