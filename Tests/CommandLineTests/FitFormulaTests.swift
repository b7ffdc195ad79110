import Foundation
import LabTestSupport
import Testing

@Suite("attnlab fit --formula on NIST's sets")
struct FitFormulaTests {
  static let isThere = NISTProblem.all != nil

  /// Rows of a set as the file that a user has.
  private func csv(_ problem: NISTProblem) -> String {
    let head = (["y"] + problem.columns.map(\.0)).joined(separator: ",")
    let rows = problem.response.indices.map { i in
      ([problem.response[i]] + problem.columns.map { $0.1[i] }).map { "\($0)" }.joined(separator: ",")
    }
    return ([head] + rows).joined(separator: "\n") + "\n"
  }

  @Test(
    "Every set reaches the certified values to 8 digits from both starts", .enabled(if: isThere),
    arguments: NISTProblem.all ?? [], [0, 1])
  func certified(problem: NISTProblem, start: Int) throws {
    let scratch = try Scratch()
    let file = try scratch.write("data.csv", csv(problem))
    let starts = zip(problem.names, problem.starts[start]).map { "\($0)=\($1)" }.joined(separator: ",")
    let response = problem.formula.contains("=") ? [] : ["--y", "y"]
    let run = try BuiltProgram.attnlab.run(
      ["fit", file, "--formula", problem.formula, "--space", "raw", "--start", starts, "--only-start"]
        + ["--interval", "wald", "--no-influence", "--json"] + response)
    #expect(run.code == 0, "\(run.errors)")
    let document = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    let fit = try #require((document?["fits"] as? [[String: Any]])?.first)
    #expect(fit["converged"] as? Bool == true)
    let parameters = try #require(fit["parameters"] as? [String: [String: Any]])
    for (k, name) in problem.names.enumerated() {
      let found = try #require(parameters[name])
      #expect(NISTProblem.digits(found["value"] as? Double, problem.certified[k]) >= 8, "\(name)")
      // The rounding of Lanczos1's data decides its standard errors.
      let wanted = problem.name == "Lanczos1" ? 2.5 : 7
      #expect(NISTProblem.digits(found["standard_error"] as? Double, problem.errors[k]) >= wanted, "\(name)")
    }
  }
}
