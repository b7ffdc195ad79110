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
    var inputs: Operands
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

  private func variant(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws
    -> any AttentionVariant
  {
    try type.make(settings: settings, shape: shape, key: key("variant"))
  }

  /// Padded rows hold other numbers, small ones and huge ones: the valid rows have the same bits, the padded ones no gradient.
  private func contents(_ item: Padded, _ settings: [String: ParameterValue]) throws -> [ConformanceCheck] {
    guard let length = item.lengths.first else { return [] }
    let shape = try item.shape(length, precision)
    let variant = try variant(shape, settings)
    func evaluate(_ filling: String, _ size: Float) throws -> Result {
      let filled = try fill(item, variant, filling, size)
      return try self.evaluate(variant, filled.inputs, filled.gradient, in: context())
    }
    let base = try evaluate("once", 1)
    // Of squares and products of 10¹⁷ single precision still holds the sums.
    return try [("twice", Float(3)), ("huge", 1e17)].flatMap { filling, size in
      let other = try evaluate(filling, size)
      let leaked = [base, other].reduce(0) { $0 + nonzeroPadding($1, item, variant) }
      return [
        ConformanceCheck(
          group: "padding", quantity: "bits", subject: subject(variant),
          error: Double(
            part(base, item, variant, sharedToo: true)
              .differences(from: part(other, item, variant, sharedToo: true))), bound: 0,
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
    if case .contentOnly(let reason) = alone.padding {
      return [
        ConformanceCheck(
          group: "padding", quantity: "length", subject: subject, error: 0, bound: 0, verdict: .skipped,
          detail: reason)
      ]
    }
    let filled = try fill(item, alone, "none", 1)
    let base = part(
      try evaluate(alone, filled.inputs, filled.gradient, in: context()), item, alone, sharedToo: false)
    let definition = try alone.definition(of: filled.inputs)
    let inputs = DefinitionInputs(filled.inputs)
    let exact = definition.forward(inputs)
    let magnitudes = definition.backward(filled.gradient.array().map { Double($0) }, inputs).magnitudes
    let budget = definition.budget(exact)
    func wide(_ values: [Float]) -> [Double] { values.map { Double($0) } }
    return try item.lengths.flatMap { length -> [ConformanceCheck] in
      let batched = try variant(try item.shape(length, precision), settings)
      let filled = try fill(item, batched, "once", 1)
      let whole = try evaluate(batched, filled.inputs, filled.gradient, in: context())
      let found = part(whole, item, batched, sharedToo: false)
      func check(_ quantity: String, _ error: Double, _ bound: Double) -> ConformanceCheck {
        ConformanceCheck(
          group: "padding", quantity: "length, \(quantity)", subject: subject, error: error, bound: 2 * bound,
          detail: "alone against a batch of \(length.queries)×\(length.keys)")
      }
      func worst(_ a: [Float], _ b: [Float], _ magnitudes: [Double]) -> Double {
        ErrorBudget.worst(a, wide(b), magnitudes)
      }
      let output = check("output", worst(found.output, base.output, exact.outputMagnitude), budget.output)
      let lse = base.lse.map {
        check("lse", ErrorBudget.worstAbsolute(found.lse ?? [], wide($0)), budget.lse)
      }
      return [output] + (lse.map { [$0] } ?? [])
        + base.gradients.keys.sorted().compactMap { name in
          guard let operand = Operand.all(alone.operands).first(where: { $0.name == name }) else {
            return nil
          }
          let error = worst(
            found.gradients[name] ?? [], base.gradients[name] ?? [], magnitudes[name] ?? [])
          return check(operand.gradientLabel, error, budget.gradient(of: operand, at: shape))
        }
    }
  }

  /// The number of elements of the valid rows whose bits differ between the sequence alone and in a longer batch: 0 where both
  /// have the same layout of tiles.
  func paddedBits(_ settings: [String: ParameterValue], rows: Int, length: Int, isCausal: Bool) throws -> Int
  {
    let item = Padded(queries: rows, keys: rows, isCausal: isCausal, lengths: [(length, length)])
    func result(_ shape: AttentionShape, _ filling: String) throws -> Result {
      let variant = try variant(shape, settings)
      let filled = try fill(item, variant, filling, 1)
      let whole = try evaluate(variant, filled.inputs, filled.gradient, in: context())
      return part(whole, item, variant, sharedToo: false)
    }
    return try result(item.shape((length, length), precision), "once")
      .differences(from: result(item.alone(precision), "none"))
  }

  // MARK: - One sequence in a batch

  /// The valid rows of an operand in a sequence of the item; `nil`: it has no rows.
  private func valid(_ operand: Operand, _ item: Padded) -> Int? {
    guard operand.axes.contains(.batch), operand.rowAxis != nil else { return nil }
    return operand.axes.contains(.queries) ? item.queries : item.keys
  }

  /// The sequence's own rows, the same in every shape, and behind them, and in the rest of the batch, others.
  private func fill(_ item: Padded, _ variant: any AttentionVariant, _ filling: String, _ size: Float) throws
    -> Filled
  {
    let shape = variant.shape, padsQueries = item.queries < shape.queryLength
    func tensor(_ operand: Operand, _ name: String, scale: Float) throws -> Tensor {
      let extents = operand.extents(at: shape), key = key("padded")
      guard let valid = valid(operand, item), let axis = operand.rowAxis else {
        return try operand.drawn(at: shape, key: key(name))
      }
      var short = extents
      (short[0], short[axis]) = (1, valid)
      let own = try Tensor.normal(short, key: key(name)).array()
      let behind = try Tensor.normal(extents, key: key(filling)(name)).array()
      var values = try Tensor.normal(extents, key: key("rest")(name)).array()
      let inner = Tensor.rowMajorStrides(extents)[axis]
      operand.forEachElement(of: extents) { index, sequence, position in
        guard sequence == 0 else { return }
        let outer = index / (inner * extents[axis])
        values[index] =
          position < valid
          ? own[(outer * valid + position) * inner + index % inner] : scale * behind[index]
      }
      return try Tensor(values, shape: extents)
    }
    func scale(_ operand: Operand) -> Float {
      operand.axes.contains(.keys) || padsQueries ? size : 1
    }
    func draw(_ operand: Operand) throws -> Tensor {
      try tensor(operand, operand.shortName, scale: scale(operand))
    }
    var inputs = Operands(query: try draw(.query), key: try draw(.key), value: try draw(.value))
    for operand in variant.operandsRead where !operand.isStandard && !operand.isOptional {
      inputs[operand.name] = try draw(operand)
    }
    inputs = try inputs.converted(to: shape.precision, declared: Operand.all(variant.operands))
    // No loss reads a padded row.
    let output = Operand(
      "output", [.batch, .queryHeads, .queries, .valueDim], .projected(like: nil), help: "o")
    return Filled(inputs: inputs, gradient: try tensor(output, "do", scale: 0))
  }

  /// The valid rows of the first sequence.
  /// - Parameter sharedToo: whether gradients that are sums over the batch are kept.
  private func part(
    _ result: Result, _ item: Padded, _ variant: any AttentionVariant, sharedToo: Bool
  ) -> Result {
    let shape = variant.shape
    func rows(_ values: [Float], _ axes: [Int], _ axis: Int, _ valid: Int) -> [Float] {
      let inner: Int = axes[(axis + 1)...].reduce(1, *), outer: Int = axes[1..<axis].reduce(1, *)
      return (0..<outer).flatMap { (place: Int) -> ArraySlice<Float> in
        let start: Int = place * axes[axis] * inner
        return values[start..<start + valid * inner]
      }
    }
    var gradients: [Operand.Name: [Float]] = [:]
    for operand in Operand.all(variant.operands) {
      guard let values = result.gradients[operand.name] else { continue }
      if let valid = valid(operand, item), let axis = operand.rowAxis {
        gradients[operand.name] = rows(values, operand.extents(at: shape), axis, valid)
      } else if sharedToo {
        gradients[operand.name] = values
      }
    }
    return Result(
      output: rows(result.output, shape.outputShape, 2, item.queries),
      lse: result.lse.map { rows($0, shape.lseShape, 2, item.queries) }, gradients: gradients)
  }

  private func nonzeroPadding(_ result: Result, _ item: Padded, _ variant: any AttentionVariant) -> Int {
    Operand.all(variant.operands).reduce(0) { sum, operand in
      guard let valid = valid(operand, item), let values = result.gradients[operand.name] else { return sum }
      var count = 0
      operand.forEachElement(of: operand.extents(at: variant.shape)) { index, sequence, position in
        if sequence == 0, position >= valid, values[index] != 0 { count += 1 }
      }
      return sum + count
    }
  }
}
