import Tensors

/// What stands in padded rows, and how many of them follow, is nothing to the valid ones.
extension Conformance {
  /// A sequence in a batch of longer ones: how many of its rows are valid.
  private struct Padded {
    /// Valid rows of q; all of them where q is a sequence of its own.
    var queries: Int
    /// Valid rows of k and v.
    var keys: Int
    var isCausal: Bool
    /// Lengths of the batch to try: rows of q and of k.
    var lengths: [(queries: Int, keys: Int)]

    /// Ends inside a tile, a block and a chunk; then the same keys seen by fewer and by more queries of another sequence.
    static let all = [
      Padded(queries: 70, keys: 70, isCausal: false, lengths: [(100, 100), (127, 127), (200, 200)]),
      Padded(queries: 70, keys: 70, isCausal: true, lengths: [(100, 100), (127, 127), (200, 200)]),
      Padded(queries: 33, keys: 70, isCausal: false, lengths: [(33, 71), (33, 127)]),
      Padded(queries: 100, keys: 70, isCausal: false, lengths: [(100, 90), (100, 100), (100, 127)]),
    ]

    func shape(_ length: (queries: Int, keys: Int), _ precision: Precision) throws -> AttentionShape {
      try AttentionShape(
        batch: 2, queryHeads: 2, keyHeads: 1, queryLength: length.queries, keyLength: length.keys,
        headDim: 16,
        isCausal: isCausal, keyLengths: [keys, length.keys], precision: precision)
    }

    func alone(_ precision: Precision) throws -> AttentionShape {
      try AttentionShape(
        queryHeads: 2, keyHeads: 1, queryLength: queries, keyLength: keys, headDim: 16, isCausal: isCausal,
        precision: precision)
    }
  }

  /// Inputs and the output's gradient of one sequence in a batch; the rows behind it are filled anew by `filler`.
  private struct Filled {
    var inputs: QKV
    var gradient: Tensor
  }

  /// Every check of padding; a shape that the variant does not take is skipped.
  func padding(_ settings: [String: ParameterValue]) -> [ConformanceCheck] {
    Padded.all.flatMap { item -> [ConformanceCheck] in
      do {
        let shapes = try [item.alone(precision)] + item.lengths.map { try item.shape($0, precision) }
        do {
          for shape in shapes { _ = try variant(shape, settings) }
        } catch { return [skipped("padding", shapes[0].summary, error)] }
        do { return try contents(item, settings) + lengths(item, settings) } catch {
          return [failure("padding", shapes[1].summary, error)]
        }
      } catch { return [failure("padding", type.card.id, error)] }
    }
  }

  private func variant(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws -> AnyAttention {
    try AnyAttention.make(type, settings: settings, shape: shape, key: key("variant"))
  }

  /// Padded rows hold other numbers, small ones and huge ones: the valid rows have the same bits, the padded ones no gradient.
  private func contents(_ item: Padded, _ settings: [String: ParameterValue]) throws -> [ConformanceCheck] {
    guard let length = item.lengths.first else { return [] }
    let shape = try item.shape(length, precision)
    let variant = try variant(shape, settings)
    func evaluate(_ filling: String, _ size: Float) throws -> Result {
      let filled = try fill(item, shape, filling, size)
      return try self.evaluate(variant, filled.inputs, filled.gradient, in: context())
    }
    let base = try evaluate("once", 1)
    // Of squares and products of 10¹⁷ single precision still holds the sums.
    return try [("twice", Float(3)), ("huge", 1e17)].flatMap { filling, size in
      let other = try evaluate(filling, size)
      let leaked = [base, other].reduce(0) { $0 + nonzeroPadding($1, item, shape) }
      return [
        ConformanceCheck(
          group: "padding", quantity: "bits", subject: subject(variant),
          error: Double(part(base, item, shape).differences(from: part(other, item, shape))), bound: 0,
          detail: "valid rows, when padded rows hold other numbers of size \(short(Double(size)))"),
        ConformanceCheck(
          group: "padding", quantity: "gradients", subject: subject(variant), error: Double(leaked), bound: 0,
          detail: "gradients of padded rows"),
      ]
    }
  }

  /// The sequence alone, and with more and more padding behind it: equal within the rounding that another layout of tiles may
  /// cost.
  private func lengths(_ item: Padded, _ settings: [String: ParameterValue]) throws -> [ConformanceCheck] {
    let shape = try item.alone(precision)
    let alone = try variant(shape, settings)
    let subject = subject(alone)
    if case .contentOnly(let reason) = alone.base.padding {
      return [
        ConformanceCheck(
          group: "padding", quantity: "length", subject: subject, error: 0, bound: 0, verdict: .skipped,
          detail: reason)
      ]
    }
    let filled = try fill(item, shape, "none", 1)
    let base = try evaluate(alone, filled.inputs, filled.gradient, in: context())
    let oracle = try alone.oracle(for: filled.inputs)
    let reference = Reference(oracle, ReferenceInputs(filled.inputs))
    let exact = reference.forward()
    let magnitudes = reference.backward(filled.gradient.array().map { Double($0) }).local.magnitudes
    let budget = ErrorBudget(
      shape: shape, scoreMagnitude: exact.scoreMagnitude, mostKeys: exact.mostKeys,
      normalizesKeys: oracle.keySource == .normalizedQueries)
    func wide(_ values: [Float]) -> [Double] { values.map { Double($0) } }
    return try item.lengths.flatMap { length -> [ConformanceCheck] in
      let shape = try item.shape(length, precision)
      let filled = try fill(item, shape, "once", 1)
      let whole = try evaluate(try variant(shape, settings), filled.inputs, filled.gradient, in: context())
      let found = part(whole, item, shape)
      func check(_ quantity: String, _ error: Double, _ bound: Double) -> ConformanceCheck {
        ConformanceCheck(
          group: "padding", quantity: "length, \(quantity)", subject: subject, error: error, bound: 2 * bound,
          detail: "alone against a batch of \(length.queries)×\(length.keys)")
      }
      func worst(_ a: [Float], _ b: [Float], _ magnitudes: [Double]) -> Double {
        ErrorBudget.worst(a, wide(b), magnitudes)
      }
      return [
        check("output", worst(found.output, base.output, exact.outputMagnitude), budget.output),
        check("lse", ErrorBudget.worstAbsolute(found.lse, wide(base.lse)), budget.lse),
        check("dq", worst(found.query, base.query, magnitudes.query), budget.queryGradient),
        check("dk", worst(found.key, base.key, magnitudes.key), budget.keyGradient),
        check("dv", worst(found.value, base.value, magnitudes.value), budget.valueGradient),
      ]
    }
  }

  /// The number of elements of the valid rows whose bits differ between the sequence alone and in a longer batch: 0 where both
  /// have the same layout of tiles.
  func paddedBits(_ settings: [String: ParameterValue], rows: Int, length: Int, isCausal: Bool) throws -> Int
  {
    let item = Padded(queries: rows, keys: rows, isCausal: isCausal, lengths: [(length, length)])
    func result(_ shape: AttentionShape, _ filling: String) throws -> Result {
      let filled = try fill(item, shape, filling, 1)
      let whole = try evaluate(
        try variant(shape, settings), filled.inputs, filled.gradient, in: context())
      return part(whole, item, shape)
    }
    return try result(item.shape((length, length), precision), "once")
      .differences(from: result(item.alone(precision), "none"))
  }

  // MARK: - One sequence in a batch

  /// The sequence's own rows, the same in every shape, and behind them, and in the rest of the batch, others.
  private func fill(_ item: Padded, _ shape: AttentionShape, _ filling: String, _ size: Float) throws
    -> Filled
  {
    func tensor(_ name: String, _ shape: [Int], valid: Int, scale: Float = 1) throws -> Tensor {
      let own = try Tensor.normal([1, shape[1], valid, shape[3]], key: key("padded")(name)).array()
      let other = try Tensor.normal(shape, key: key("padded")("rest")(name)).array()
      let behind = try Tensor.normal(shape, key: key("padded")(filling)(name)).array()
      var values = other
      forEachElement(of: shape) { index, sequence, position in
        guard sequence == 0 else { return }
        let (head, column) = (index / (shape[2] * shape[3]) % shape[1], index % shape[3])
        values[index] =
          position < valid
          ? own[(head * valid + position) * shape[3] + column] : scale * behind[index]
      }
      return try Tensor(values, shape: shape)
    }
    let padsQueries = item.queries < shape.queryLength
    let inputs = try QKV(
      query: tensor("q", shape.queryShape, valid: item.queries, scale: padsQueries ? size : 1),
      key: tensor("k", shape.keyShape, valid: item.keys, scale: size),
      value: tensor("v", shape.valueShape, valid: item.keys, scale: size)
    ).converted(to: shape.precision)
    // No loss reads a padded row.
    let gradient = try tensor("do", shape.outputShape, valid: item.queries, scale: 0)
    return Filled(inputs: inputs, gradient: gradient)
  }

  /// The valid rows of the first sequence.
  private func part(_ result: Result, _ item: Padded, _ shape: AttentionShape) -> Result {
    func rows(_ values: [Float], _ axes: [Int], _ valid: Int) -> [Float] {
      let dim = axes.count == 4 ? axes[3] : 1
      return (0..<axes[1]).flatMap { head in
        values[(head * axes[2]) * dim..<(head * axes[2] + valid) * dim]
      }
    }
    return Result(
      output: rows(result.output, shape.outputShape, item.queries),
      lse: rows(result.lse, shape.lseShape, item.queries),
      query: rows(result.query, shape.queryShape, item.queries),
      key: rows(result.key, shape.keyShape, item.keys),
      value: rows(result.value, shape.valueShape, item.keys))
  }

  private func nonzeroPadding(_ result: Result, _ item: Padded, _ shape: AttentionShape) -> Int {
    let parts = [
      (result.query, shape.queryShape, item.queries), (result.key, shape.keyShape, item.keys),
      (result.value, shape.valueShape, item.keys),
    ]
    return parts.reduce(0) { sum, part in
      var count = 0
      forEachElement(of: part.1) { index, sequence, position in
        if sequence == 0, position >= part.2, part.0[index] != 0 { count += 1 }
      }
      return sum + count
    }
  }
}
