import Basics

extension ScalingForm {
  /// The first row on which the law has no value, as a domain error that names it; nil when every row has one somewhere.
  ///
  /// Asked when no start gave a usable value on all rows: a row that has none at any of many points in the domains of
  /// the parameters, as a·√x at negative x, is the reason. Complexity O(rows) evaluations.
  func rowWithoutValue(_ data: FitData, in options: FitOptions) -> String? {
    let points = trials(options)
    var gradient = [Double](repeating: 0, count: parameters.count)
    for i in 0..<data.count {
      let x = data.columns.map { $0[i] }
      let isUsable = points.contains { theta in
        let value = evaluate(theta, at: x, gradient: &gradient)
        return value.isFinite && (options.space == .raw || value > 0)
      }
      if isUsable { continue }
      let place = zip(data.names, x).map { "\(shown($0)) = \($1)" }.joined(separator: ", ")
      let need = options.space == .log ? "no positive value" : "no value"
      return
        "\(data.rowWord) \(data.rowNumbers[i]): \(shown(formula)) has \(need) at \(place), whatever the parameters"
    }
    return nil
  }

  /// Points of every size and sign inside the domains, held parameters at their values, by a fixed seed.
  private func trials(_ options: FitOptions) -> [[Double]] {
    var generator = SeededGenerator(seed: 0x7219)
    return (0..<256).map { _ in
      parameters.map { parameter in
        if let held = options.fixed[parameter.name] { return held }
        let size = exponential(12 * (generator.uniform() - 0.5))
        let value = generator.uniform() < 0.5 ? size : -size
        return (options.domains[parameter.name] ?? parameter.domain).clamped(value, scale: size)
      }
    }
  }
}
