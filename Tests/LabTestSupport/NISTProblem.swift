import Foundation
import Settings

/// One of NIST's certified nonlinear problems, as the reference data have it.
public struct NISTProblem: Sendable, CustomStringConvertible {
  /// The set.
  public let name: String
  /// The law as `--formula` takes it.
  public let formula: String
  /// The predictors by name.
  public let columns: [(String, [Double])]
  /// y.
  public let response: [Double]
  /// The parameters, b1 and on.
  public let names: [String]
  /// NIST's two starts.
  public let starts: [[Double]]
  /// The certified estimates.
  public let certified: [Double]
  /// The certified standard errors.
  public let errors: [Double]
  /// The certified residual sum of squares.
  public let rss: Double

  /// The set.
  public var description: String { name }

  /// The law of each set, written as `--formula` takes it.
  private static let formulas: [(String, String)] = [
    ("Bennett5", "b1*(b2+x)^(-1/b3)"),
    ("BoxBOD", "b1*(1-exp(-b2*x))"),
    ("Chwirut1", "exp(-b1*x)/(b2+b3*x)"),
    ("Chwirut2", "exp(-b1*x)/(b2+b3*x)"),
    ("DanWood", "b1*x^b2"),
    (
      "ENSO",
      "b1 + b2*cos(2*pi*x/12) + b3*sin(2*pi*x/12) + b5*cos(2*pi*x/b4) + b6*sin(2*pi*x/b4)"
        + " + b8*cos(2*pi*x/b7) + b9*sin(2*pi*x/b7)"
    ),
    ("Eckerle4", "(b1/b2)*exp(-0.5*((x-b3)/b2)^2)"),
    ("Gauss1", "b1*exp(-b2*x) + b3*exp(-(x-b4)^2/b5^2) + b6*exp(-(x-b7)^2/b8^2)"),
    ("Gauss2", "b1*exp(-b2*x) + b3*exp(-(x-b4)^2/b5^2) + b6*exp(-(x-b7)^2/b8^2)"),
    ("Gauss3", "b1*exp(-b2*x) + b3*exp(-(x-b4)^2/b5^2) + b6*exp(-(x-b7)^2/b8^2)"),
    ("Hahn1", "(b1+b2*x+b3*x^2+b4*x^3)/(1+b5*x+b6*x^2+b7*x^3)"),
    ("Kirby2", "(b1+b2*x+b3*x^2)/(1+b4*x+b5*x^2)"),
    ("Lanczos1", "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"),
    ("Lanczos2", "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"),
    ("Lanczos3", "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"),
    ("MGH09", "b1*(x^2+x*b2)/(x^2+x*b3+b4)"),
    ("MGH10", "b1*exp(b2/(x+b3))"),
    ("MGH17", "b1 + b2*exp(-x*b4) + b3*exp(-x*b5)"),
    ("Misra1a", "b1*(1-exp(-b2*x))"),
    ("Misra1b", "b1*(1-(1+b2*x/2)^(-2))"),
    ("Misra1c", "b1*(1-(1+2*b2*x)^(-0.5))"),
    ("Misra1d", "b1*b2*x*((1+b2*x)^(-1))"),
    ("Nelson", "log(y) = b1 - b2*x1*exp(-b3*x2)"),
    ("Rat42", "b1/(1+exp(b2-b3*x))"),
    ("Rat43", "b1/((1+exp(b2-b3*x))^(1/b4))"),
    ("Roszman1", "b1 - b2*x - arctan(b3/(x-b4))/pi"),
    ("Thurber", "(b1+b2*x+b3*x^2+b4*x^3)/(1+b5*x+b6*x^2+b7*x^3)"),
  ]

  private struct Certified: Decodable {
    struct Parameter: Decodable {
      let start1: Double
      let start2: Double
      let cert: String
      let sd: String
    }
    let file: String
    let params: [Parameter]
    let rss: String
    let rows: Int
    let cols: Int
  }

  /// All sets, or nil when the reference data are not there.
  public static let all: [NISTProblem]? = {
    guard let folder = ProcessInfo.processInfo.environment["ATTNLAB_REFERENCE_DATA"] else { return nil }
    let nist = URL(fileURLWithPath: folder).appendingPathComponent("nist")
    guard let json = try? Data(contentsOf: nist.appendingPathComponent("certified.json")),
      let sets = try? JSONDecoder().decode([String: Certified].self, from: json)
    else { return nil }
    return formulas.compactMap { name, formula in
      guard let set = sets[name] else { return nil }
      return NISTProblem(name, formula, set, nist)
    }
  }()

  private init?(_ name: String, _ formula: String, _ set: Certified, _ folder: URL) {
    guard let text = try? String(contentsOf: folder.appendingPathComponent(set.file), encoding: .utf8)
    else { return nil }
    let rows = text.split(whereSeparator: \.isNewline).compactMap { line -> [Double]? in
      let fields = line.split(whereSeparator: \.isWhitespace)
      let numbers = fields.compactMap { Double($0) }
      return fields.count == set.cols && numbers.count == fields.count ? numbers : nil
    }.suffix(set.rows)
    guard rows.count == set.rows else { return nil }
    self.name = name
    self.formula = formula
    let predictors = set.cols == 2 ? ["x"] : ["x1", "x2"]
    columns = predictors.enumerated().map { j, name in (name, rows.map { $0[j + 1] }) }
    response = rows.map { $0[0] }
    let count = set.params.count
    names = (1...count).map { "b\($0)" }
    starts = [set.params.map(\.start1), set.params.map(\.start2)]
    certified = set.params.compactMap { Double($0.cert) }
    errors = set.params.compactMap { Double($0.sd) }
    rss = Double(set.rss) ?? .nan
  }

  /// Digits in which two numbers agree, at most 11: −log₁₀ of the relative error.
  public static func digits(_ value: Double?, _ certified: Double) -> Double {
    guard let value, value.isFinite else { return 0 }
    if value == certified { return 11 }
    return min(11, max(0, -log10(abs(value - certified) / abs(certified))))
  }
}
