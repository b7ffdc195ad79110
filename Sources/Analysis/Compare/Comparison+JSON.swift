import Basics
import Records

extension Comparison {
  /// The comparison as JSON: a part a pass and shape.
  public var json: JSONValue {
    .object([
      "baseline": .string(baselineName), "notes": .array(notes.map { .string($0) }),
      "parts": .array(
        parts.map { part in
          .object([
            "pass": .text(part.panel.pass?.rawValue), "title": .string(part.panel.title),
            "n": .number(part.length), "variants": .array(part.lines.map(json)),
            "failures": .array(
              part.panel.failures.map {
                .object([
                  "variant": .string($0.variant), "n": .number(part.panel.axis.length(of: $0)),
                  "status": .text($0.status?.rawValue), "reason": .string($0.reason),
                ])
              }),
          ])
        }),
    ])
  }

  private func json(_ line: Line) -> JSONValue {
    let rows = line.series.rows.filter { row in
      length.map { line.series.axis.length(of: row) == $0 } ?? true
    }
    return .object([
      "variant": .string(line.series.variant), "label": .string(line.series.label),
      "baseline": .text(line.baseline?.label),
      "time_exponent": Self.json(line.time), "memory_exponent": Self.json(line.memory),
      "crossover": Self.json(line.crossover),
      "lengths": .array(
        rows.map { row in
          let n = line.series.axis.length(of: row)
          let base = line.baselineSeconds(at: n)
          return .object([
            "n": .number(n), "query_length": .number(row.queryLength), "key_length": .number(row.keyLength),
            "machine": .string(row.machine), "seconds_median": .number(row.secondsMedian),
            "seconds_p20": .number(row.secondsP20), "seconds_p80": .number(row.secondsP80),
            "fraction_of_peak": .number(row.fractionOfPeak), "memory_bytes": .number(row.memoryBytes),
            "peak_rss_bytes": .number(row.peakRSSBytes), "predicted_bytes": .number(row.predictedBytes),
            "error_rel": .number(row.errorRel), "kept_mass": .number(row.keptMass),
            "speedup": .number(Metric.speedup.value(row, baselineSeconds: base)),
          ])
        }),
    ])
  }

  private static func json(_ growth: Growth) -> JSONValue {
    guard let exponent = growth.exponent else {
      return .object(["value": .null, "low": .null, "high": .null, "reason": .text(growth.reason)])
    }
    return .object([
      "value": .double(exponent.value), "low": .number(exponent.low), "high": .number(exponent.high),
    ])
  }

  private static func json(_ verdict: CrossoverVerdict) -> JSONValue {
    switch verdict {
    case .none: .null
    case .always: .object(["kind": .string("always_faster")])
    case .never: .object(["kind": .string("always_slower")])
    case .meets(let crossover):
      .object([
        "kind": .string(crossover.firstIsLowerAbove ? "faster_from" : "slower_from"),
        "n": .double(crossover.x),
        "low": .number(crossover.low), "high": .number(crossover.high),
        "extrapolation": .double(crossover.extrapolation),
      ])
    }
  }
}
