import Foundation
import LabTestSupport
import Testing

/// A machine without Slurm and MPI notices nothing of them: no command is looked for, and what needs them says so in one line.
@Suite struct LaptopTests {
  private let scratch: Scratch

  init() throws {
    scratch = try Scratch()
    _ = try scratch.write(
      "four.yaml", "n: [8, 16]\nhead_dim: 4\nthreads: 1\nwarmup: 0\nrepeats: 1\nvariants: [full, lsh]\n")
  }

  /// What is asked, the exit code, and what is said of it.
  private static let calls: [(words: [String], code: Int32, text: String)] = [
    (["measure", "full", "--n", "64", "--head-dim", "4", "--repeats", "1"], 0, "full"),
    (["measure", "full", "--n", "64", "--head-dim", "4", "--repeats", "1", "--ranks", "1"], 0, "full"),
    (["run", "four.yaml", "--out", "whole"], 0, "report"),
    (["run", "four.yaml", "--out", "part", "--shard", "1/2"], 0, "2 cells"),
    (
      ["train", "induction", "--steps", "1", "--set", "training.batch=1", "--checkpoint", "trained"], 0,
      "loss"
    ),
    (["slurm", "four.yaml", "--out", "sweep"], 0, "#SBATCH --array="),
    (["slurm", "four.yaml", "--out", "sweep", "--submit", "--dry-run"], 0, "--dependency=afterany"),
    (["slurm", "four.yaml", "--out", "sweep", "--submit"], 2, "scontrol could not be run"),
    (["run", "four.yaml", "--out", "waited", "--executor", "slurm"], 2, "scontrol could not be run"),
    (["measure", "full", "--n", "64", "--ranks", "2"], 2, "swift build --traits MPI"),
    (["train", "induction", "--steps", "1", "--ranks", "2"], 2, "swift build --traits MPI"),
  ]

  @Test(
    "all but what needs them works with neither in reach, and they are refused in one line", arguments: calls)
  func withoutThem(words: [String], code: Int32, text: String) async throws {
    let result = try await BuiltProgram.attnlab.finished(
      words, in: scratch.path, environment: ["PATH": scratch("nothing"), "SLURM_ARRAY_TASK_ID": ""])
    #expect(result.code == code, "\(words): \(result.errors)")
    #expect((result.output + result.errors).contains(text), "\(words): \(result.output)\n\(result.errors)")
    #expect(code == 0 || result.errorLines.count == 1, "\(words): \(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: scratch("waited/measurements.csv")))
  }

  @Test("the program is not linked with MPI unless it was built with the trait")
  func linked() throws {
    let program = try Data(contentsOf: URL(fileURLWithPath: BuiltProgram.attnlab.path))
    #expect(program.count > 1_000_000 && program.range(of: Data("libmpi.so".utf8)) == nil)
  }
}
