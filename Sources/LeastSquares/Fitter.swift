import Basics

/// Fits a scaling law to data.
///
/// ```swift
/// let data = try FitData(x: lengths, y: seconds, name: "n")
/// let fit = try Fitter(PowerLawOffset()).fit(data)              // log space, least squares
/// fit.parameters["b"]?.value                                    // and .standardError, .low, .high
/// fit.predict(at: [65536]).low                                  // interval of a new measurement
/// let meeting = crossover(of: fit, and: other)                  // where the two curves meet
/// ```
///
/// A fit is a multi-start search: it starts from many points, says how many of them reached the best minimum, and calls
/// itself converged only when the step still to go is a vanishing part of a standard error.
public struct Fitter: Sendable {
  /// The law.
  public let form: any ScalingForm
  /// How to fit it.
  public let options: FitOptions

  /// A fitter of one law.
  public init(_ form: any ScalingForm, options: FitOptions = FitOptions()) {
    self.form = form
    self.options = options
  }

  /// The best fit of the law to the data.
  ///
  /// - Throws: `FitError`: too few rows, values outside the law's domain, names that do not exist.
  public func fit(_ data: FitData) throws(FitError) -> Fit {
    try options.validate(for: form)
    let (used, dropped) = dropLargest(data)
    try checkRows(used)
    let search = Search(form: form, options: options, data: used)
    guard let found = search.run() else {
      if let row = form.rowWithoutValue(used, in: options) { throw FitError(.badData, row) }
      throw FitError(
        .noSolution,
        "\(form.name): no start gave \(form.formula) a usable value on all \(used.count) rows; give one with a start value for each parameter"
      )
    }
    var fit = Fit(found, form: form, options: options, data: used, droppedRows: dropped)
    fit.addIntervals()
    if options.influence { fit.influence = Influence(fit) }
    fit.addWarnings()
    return fit
  }

  /// Fits of many independent sets of rows, on all cores, in order.
  public func fitAll(_ groups: [FitData]) -> [Result<Fit, FitError>] {
    var own = options
    if groups.count > 1 { own.threads = 1 }
    let fitter = Fitter(form, options: own)
    return Parallel.map(count: groups.count, threads: options.workers) { k -> Result<Fit, FitError>? in
      do throws(FitError) { return .success(try fitter.fit(groups[k])) } catch { return .failure(error) }
    }.compactMap { $0 }
  }

  private func dropLargest(_ data: FitData) -> (FitData, [Int]) {
    guard options.dropLargest > 0 else { return (data, []) }
    let order = data.response.indices.sorted { data.response[$0] > data.response[$1] }
    let dropped = Set(order.prefix(options.dropLargest))
    let kept = data.response.indices.filter { !dropped.contains($0) }
    return (data.rows(kept), dropped.sorted().map { data.rowNumbers[$0] })
  }

  private func checkRows(_ data: FitData) throws(FitError) {
    guard data.columns.count == form.variables.count else {
      throw FitError(
        .badOption,
        "\(form.name) has \(counted(form.variables.count, "variable")) (\(form.variables.joined(separator: ", "))), \(counted(data.columns.count, "column")) given"
      )
    }
    let free = form.parameters.count - options.fixed.count
    guard data.count >= free + 2 else {
      throw FitError(
        .tooFewRows,
        "\(form.name) has \(counted(free, "free parameter")) and needs at least \(free + 2) rows; there \(data.count == 1 ? "is" : "are") \(data.count)"
      )
    }
    if let problem = form.domainError(on: data) { throw FitError(.badData, problem) }
    if options.space == .log, let bad = data.response.firstIndex(where: { $0 <= 0 }) {
      throw FitError(
        .badData,
        "response, \(data.rowWord) \(data.rowNumbers[bad]): \(data.response[bad]) has no logarithm; fit in raw space or leave the row out"
      )
    }
  }
}

extension FitOptions {
  /// Refuses names that the form does not have and numbers that mean nothing.
  func validate(for form: any ScalingForm) throws(FitError) {
    let known = Set(form.parameters.map(\.name))
    for (kind, names) in [
      ("start", Set(start.keys)), ("bound", Set(domains.keys)), ("fixed value", Set(fixed.keys)),
    ] {
      if let unknown = names.subtracting(known).sorted().first {
        let list = form.parameters.map(\.name).joined(separator: ", ")
        throw FitError(
          .badOption, "\(kind): \(form.name) has no parameter '\(shown(unknown))'; it has \(list)")
      }
    }
    if case .huber(let delta) = loss, !(delta > 0 && delta.isFinite) {
      throw FitError(.badOption, "Huber's delta is \(delta); it must be positive and finite")
    }
    guard confidence > 0, confidence < 1 else {
      throw FitError(.badOption, "confidence is \(confidence); it must lie between 0 and 1")
    }
    guard dropLargest >= 0, (0...1_000_000).contains(resamples), (1...100_000).contains(starts) else {
      throw FitError(
        .badOption, "dropLargest must not be negative, resamples lie in 0 … 1000000, starts in 1 … 100000")
    }
    for (name, value) in start where !value.isFinite {
      throw FitError(.badOption, "start: \(name) is \(value); it must be finite")
    }
  }
}
