import Foundation
import LabTestSupport
import Testing

/// `attnlab run --executor slurm` with stand-ins for Slurm's commands: `sbatch` runs the array's tasks at once, one after
/// another, or, told so, does nothing. The real Slurm is that of `Tests/SweepsTests/slurm.sh`.
@Suite struct SlurmRunTests {
  private let scratch: Scratch
  private let path: String

  init() throws {
    scratch = try Scratch()
    let commands = [
      "scontrol": "echo 'MaxArraySize = 1001'",
      // A job is there as long as its file is.
      "squeue":
        #"while [ $# -gt 0 ]; do [ "$1" = -j ] && job=$2; shift; done; cat "$FAKE/queue-$job" 2>/dev/null || true"#,
      "sbatch": #"""
      echo "$@" >>"$FAKE/submitted"
      if [ -e "$FAKE/busy" ]; then echo "RUNNING None" >"$FAKE/queue-7"; echo 7; exit; fi
      array=$(sed -n 's/^#SBATCH --array=//p' "${@: -1}")
      for task in ${array//,/ }; do
        for i in $(seq ${task%-*} ${task#*-}); do
          [ -e "$FAKE/lose-$i" ] || SLURM_ARRAY_TASK_ID=$i bash "${@: -1}" >>"$FAKE/tasks.log" 2>&1
        done
      done
      echo 8
      """#,
    ]
    try FileManager.default.createDirectory(atPath: scratch("bin"), withIntermediateDirectories: true)
    for (name, text) in commands {
      let file = try scratch.write("bin/\(name)", "#!/usr/bin/env bash\n\(text)\n")
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
    }
    path = "\(scratch("bin")):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    _ = try scratch.write(
      "four.yaml", "n: [8, 16]\nhead_dim: 4\nthreads: 1\nwarmup: 0\nrepeats: 1\nvariants: [full, lsh]\n")
  }

  private func run(_ more: String...) throws -> BuiltProgram.Result {
    try BuiltProgram.attnlab.run(
      ["run", scratch("four.yaml"), "--executor", "slurm", "--cells-per-task", "2", "--out", scratch("out")]
        + more,
      environment: ["PATH": path, "FAKE": scratch.path, "SLURM_ARRAY_TASK_ID": ""])
  }

  @Test(
    "it submits, merges and shows the results; what was lost is missing with its tasks, and submitted again")
  func submitsAndMerges() throws {
    let lost = try scratch.write("lose-2", "")
    let first = try run("--partition", "short")
    #expect(
      first.code == 1 && first.errorLines.last?.contains("2 cells are missing, of the tasks 2;") == true,
      "\(first.errors)")
    try FileManager.default.removeItem(atPath: lost)
    let second = try run("--partition", "short")
    #expect(
      second.code == 0 && second.errors.contains("submitted job 8: 2 of 2 tasks, 4 cells"), "\(second.errors)"
    )
    #expect(second.output.contains("report: "))
    #expect(try scratch.lines("out/measurements.csv").count == 5)
    #expect(try scratch.lines("submitted").count == 2)
    // Once more: nothing is left to submit.
    let third = try run("--json")
    #expect(third.code == 0 && third.errors.contains("is there already"), "\(third.errors)")
    #expect(try scratch.lines("submitted").count == 2)
    let other = try run("--cells-per-task", "1")
    #expect(
      other.code == 2 && other.errorLines.last?.contains("cut into 2 tasks, now it would be 4") == true,
      "\(other.errors)")
  }

  @Test("a preset that one task holds is waited for and merged like any other")
  func oneTask() throws {
    let first = try run("--partition", "short", "--cells-per-task", "4")
    #expect(first.code == 0 && first.output.contains("report: "), "\(first.errors)")
    let merge = try BuiltProgram.attnlab.run(["merge", scratch("out"), "--complete"])
    #expect(merge.code == 0 && merge.output.contains("is the only part"), "\(merge.errors)")
  }

  @Test("a signal ends the waiting and says how to go on; the same command waits for the job that is there")
  func leaves() throws {
    _ = try scratch.write("busy", "")
    let words = ["run", scratch("four.yaml"), "--executor", "slurm", "--out", scratch("out")]
    let environment = ["PATH": path, "FAKE": scratch.path, "SLURM_ARRAY_TASK_ID": ""]
    for note in ["submitted job 7: 1-4 of 4 tasks, 4 cells", "job 7 was submitted before and has not ended"] {
      let (process, files) = try BuiltProgram.attnlab.start(words, environment: environment, scratch: scratch)
      func said() -> String { (try? String(contentsOfFile: files.errors, encoding: .utf8)) ?? "" }
      for _ in 0..<200 where !said().contains(note) { usleep(50_000) }
      process.terminate()
      process.waitUntilExit()
      #expect(process.terminationStatus == 130 && said().contains(note), "\(said())")
      #expect(
        said().contains("job 7 goes on: attnlab status") && said().contains("scancel 7 ends it"), "\(said())")
    }
    let fresh = try BuiltProgram.attnlab.run(words + ["--fresh"], environment: environment)
    #expect(fresh.code == 2 && fresh.errorLines.count == 1, "\(fresh.errors)")
    #expect(fresh.errors.contains("job 7 is still writing there; scancel 7 ends it"), "\(fresh.errors)")
  }

  @Test("what does not go together is refused in one line")
  func refusals() throws {
    func refused(_ words: String...) throws -> String {
      let result = try BuiltProgram.attnlab.run(
        ["run", scratch("four.yaml")] + words, environment: ["PATH": path])
      #expect(result.code == 2 && result.errorLines.count == 1, "\(result.errors)")
      return result.errors
    }
    #expect(try refused("--partition", "short").contains("--partition: it goes with --executor slurm"))
    #expect(try refused("--executor", "slurm", "--shard", "1/2").contains("it goes neither with --shard"))
    for command in ["slurm", "run --executor slurm"] {
      let piped = try BuiltProgram.attnlab.shell(
        "cat four.yaml | attnlab \(command) /dev/stdin", in: scratch.path)
      #expect(
        piped.code == 2 && piped.errorLines.count == 1 && piped.errors.contains("keep it as a file"),
        "\(piped.errors)")
    }
  }
}
