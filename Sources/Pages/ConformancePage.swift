import AttentionCore
import Basics
import Foundation

/// A conformance report for a terminal: the worst check of every kind, every check where asked for. What failed first and how
/// to see it, `ConformanceFailure`, stands above it.
package struct ConformancePage {
  package let text: String

  package init(_ report: ConformanceReport, verbose: Bool) {
    let verdict = report.passed ? "passed" : "FAILED"
    let ran = report.checks.count { $0.verdict != .skipped }
    let failed = report.passed ? "" : ", \(report.failures.count) failed"
    var lines = ["\(report.variant): \(verdict), \(counted(ran, "check"))\(failed)"]
    var table = TextTable(["group", "worst", "error", "allowed", "verdict", "on"])
    for check in verbose ? report.checks : report.worst(byQuantity: false) {
      let isSkipped = check.verdict == .skipped
      table.add([
        check.group, check.quantity, isSkipped ? "" : Self.number(check.error),
        isSkipped ? "" : Self.number(check.bound), check.verdict.rawValue,
        check.verdict == .passed ? check.subject : "\(check.subject) \(check.detail)",
      ])
    }
    lines.append(table.text)
    text = lines.joined(separator: "\n")
  }

  /// Two significant digits.
  static func number(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "NaN" : "∞" }
    if value == 0 { return "0" }
    return String(format: "%.1e", value)
  }
}

extension ConformanceReport {
  /// The report as `attnlab check --json` prints it.
  package func json(_ failure: ConformanceFailure?) -> JSONValue {
    .object([
      "variant": .string(variant), "passed": .bool(passed), "failure": failure?.json ?? .null,
      "checks": .array(
        checks.map { check in
          .object([
            "group": .string(check.group), "quantity": .string(check.quantity),
            "subject": .string(check.subject),
            "error": check.error.isFinite ? .number(check.error) : .null,
            "bound": .number(check.bound), "verdict": .string(check.verdict.rawValue),
            "detail": .string(check.detail),
          ])
        }),
    ])
  }
}
