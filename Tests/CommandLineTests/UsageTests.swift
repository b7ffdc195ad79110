import Foundation
import LabTestSupport
import Testing

/// What the program says to a user who errs: one line, on standard error, with exit code 2.
@Suite struct UsageTests {
  @Test(arguments: [
    (["lis"], "attnlab: lis is no subcommand; it takes one of "),
    (
      ["list", "slidng-window"],
      "attnlab list: variant or task: slidng-window is not allowed; it takes one of "
    ),
    (
      ["list", "--jsn"],
      "attnlab list: Unknown option '--jsn'. Did you mean '--json'? (see attnlab list --help)"
    ),
    (["run"], "attnlab run: Missing expected argument '<preset>' (see attnlab run --help)"),
    (["run", "no-such-preset"], "attnlab run: there is no preset no-such-preset; "),
    (["run", "quikstart"], "attnlab run: there is no preset quikstart; it takes one of "),
    (["run", "none.yaml"], "attnlab run: none.yaml: no such file"),
    (
      ["run", "quickstart", "--set", "n"],
      "attnlab run: --set n: write it as path=value, such as n=1024 or input.text=notes.txt"
    ),
    (
      ["run", "quickstart", "--set", "m=3"],
      "attnlab run: --set m=3: unknown field m; known are "
    ),
    (
      ["run", "quickstart", "--memory-limit", "lots"],
      "attnlab run: --memory-limit lots: it takes a size such as 512MiB or 8GiB"
    ),
    (
      ["run", "quickstart", "--time-limit", "5"],
      "attnlab run: --time-limit 5: it takes a time such as 500ms, 60s or 2m"
    ),
    (["run", "quickstart", "--only", "fll"], "attnlab run: variant: fll is not allowed; it takes one of "),
    (
      ["measure", "full"], "attnlab measure: Missing expected argument '--n <n>' (see attnlab measure --help)"
    ),
    (
      ["measure", "full", "--n", "0"],
      "attnlab measure: query length: 0 is not allowed; it takes a whole number of at least 1"
    ),
    (["measure", "full", "--n", "x"], "attnlab measure: The value 'x' is invalid for '--n <n>'"),
    (
      ["measure", "full", "--n", "8", "--heads", "4", "--key-heads", "3"],
      "attnlab measure: key heads: 3 is not allowed; it takes a divisor of the 4 heads"
    ),
    (
      ["measure", "full", "--n", "8", "--pass", "sideways"],
      "attnlab measure: --pass sideways: it takes one of forward, backward, decode"
    ),
    (
      ["measure", "full", "--n", "8", "--input", "noise"],
      "attnlab measure: --input noise: it takes one of gaussian, text, text:PATH"
    ),
    (
      ["measure", "full", "--n", "8", "--repeats", "0"],
      "attnlab measure: --repeats 0: it takes a whole number of at least 1"
    ),
    (
      ["measure", "sliding-window", "--n", "8", "--set", "left"],
      "attnlab measure: --set left: write it as name=value, such as --set left=64"
    ),
    (
      ["measure", "sliding-window", "--n", "8", "--set", "left=-1"],
      "attnlab measure: left: -1 is not allowed; it takes "
    ),
    (
      ["measure", "sliding-window", "--n", "8", "--set", "lft=1"],
      "attnlab measure: lft: an unknown parameter is not allowed; it takes left, right, dilation, sinks, score, untie, clamp_length, bias, bias_buckets, bias_distance, sink, softcap (did you mean left?)"
    ),
    (["compare", "none.csv"], "attnlab compare: none.csv: no such file"),
    (["compare", "a.csv"], "attnlab compare: a.csv: no such file"),
    (
      ["compare", "a.csv", "--fail-above", "1.1"],
      "attnlab compare: --fail-above: it needs --against with the earlier run"
    ),
    (["compare", "a.csv", "--metric", "tme"], "attnlab compare: --metric tme: it takes one of time, "),
    (["plot", "none.csv"], "attnlab plot: none.csv: no such file"),
    (["plot", "none.csv", "--x", "n"], "attnlab plot: --x and --y: both are needed to draw columns"),
    (
      ["report", "nowhere"],
      "attnlab report: nowhere: no such folder; give one that attnlab run wrote, such as results/quickstart"
    ),
    (["compare", "runs.csv"], "attnlab compare: runs.csv: no such file"),
    (["doctor", "--threads", "0"], "attnlab doctor: --threads 0: it takes a whole number from 1 to 1024"),
  ])
  func oneLineAndExitCodeTwo(arguments: [String], line: String) throws {
    let result = try BuiltProgram.attnlab.run(arguments)
    #expect(result.code == 2)
    #expect(result.output.isEmpty)
    #expect(result.errorLines.count == 1, "\(result.errors)")
    #expect(result.errors.hasPrefix(line), "\(result.errors)")
  }

  @Test(arguments: [
    (
      ["--n", "1000000000"],
      "out_of_memory: full forward n=1000000000: needs 957 GiB for inputs and results alone; "
    ),
    (["--n", "1000000", "--heads", "1024"], "out_of_memory: "),
    (["--n", "4096", "--memory-limit", "1MiB"], "out_of_memory: "),
  ])
  func whatDoesNotFitIsSaidBeforeItIsTried(arguments: [String], line: String) throws {
    let result = try BuiltProgram.attnlab.run(["measure", "full"] + arguments)
    #expect(result.code == 1)
    #expect(
      result.errorLines.count == 1 && result.errors.hasPrefix("attnlab measure: \(line)"), "\(result.errors)")
  }

  @Test(arguments: [
    (
      ["--n", "100000000000"],
      "query length: 100000000000 is not allowed; it takes a whole number of at most "
    ),
    (
      ["--n", "1000000000", "--heads", "1000000000"],
      "shape: [1, 1000000000, 1000000000, 64] is not allowed; "
    ),
    (["--n", "64", "--threads", "9999"], "--threads 9999: it takes a whole number from 1 to 1024"),
  ])
  func sizesBeyondReasonAreRefused(arguments: [String], line: String) throws {
    let result = try BuiltProgram.attnlab.run(["measure", "full"] + arguments)
    #expect(result.code == 2)
    #expect(
      result.errorLines.count == 1 && result.errors.hasPrefix("attnlab measure: \(line)"), "\(result.errors)")
  }

  @Test func anInstructionSetThatIsNotHereIsRefused() throws {
    let result = try BuiltProgram.attnlab.run(["list"], environment: ["ATTNLAB_ISA": "sse9"])
    #expect(result.code == 2)
    #expect(
      result.errors.hasPrefix("attnlab list: ATTNLAB_ISA: sse9 is not available here; it takes one of: "))
  }

  @Test(arguments: ["list", "run", "measure", "compare", "plot", "report", "doctor"])
  func everySubcommandHasHelpWithAnExample(name: String) throws {
    let result = try BuiltProgram.attnlab.run(name, "--help")
    #expect(result.code == 0 && result.errors.isEmpty)
    #expect(result.output.hasPrefix("OVERVIEW: "))
    #expect(result.output.contains("Example") && result.output.contains("  attnlab \(name)"))
    #expect(result.output.contains("USAGE: attnlab \(name)"))
    if name != "plot" { #expect(result.output.contains("--json")) }
  }

  @Test func helpOfReportIsExactlyThis() throws {
    let result = try BuiltProgram.attnlab.run("report", "--help")
    #expect(
      result.output == """
        OVERVIEW: Write one self-contained HTML page: tables, plots, fits, environment,
        provenance.

        The page needs no network and no other file. A README.md beside it makes the
        folder a data set: what was run, the columns with their units, how to read the
        tables and how to make them again.

        Examples:
          attnlab report results/quickstart
          attnlab report results/published/quickstart --out quickstart.html
          attnlab report results/published/mqar-window \\
            results/published/passkey-length --out recall.html

        USAGE: attnlab report <folders> ... [--out <out>] [--json]

        ARGUMENTS:
          <folders>               Folders that attnlab run or train wrote.

        OPTIONS:
          --out <out>             The page. Default: report.html in the folder; of
                                  several folders it must be named.
          --json                  Print JSON: the page's path.
          --version               Show the version.
          -h, --help              Show help information.


        """)
  }

  @Test func listShowsVariantsFormsAndPresets() throws {
    let result = try BuiltProgram.attnlab.run("list")
    #expect(result.code == 0)
    for word in ["full-materialized", "random-sparse", "chinchilla", "quickstart", "scaling-time-memory"] {
      #expect(result.output.contains(word), "\(word)")
    }
    let json = try BuiltProgram.attnlab.run("list", "sliding-window", "--json")
    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
    #expect(object?["id"] as? String == "sliding-window")
    let parameters = try #require(object?["parameters"] as? [[String: Any]])
    #expect(
      parameters.compactMap { $0["name"] as? String } == [
        "left", "right", "dilation", "sinks", "score", "untie", "clamp_length", "bias", "bias_buckets",
        "bias_distance", "sink", "softcap",
      ])
    #expect(parameters.allSatisfy { $0["allowed"] is String && $0["help"] is String && $0["default"] != nil })
  }

  @Test func measurePrintsTheColumnsOfTheCSV() throws {
    let result = try BuiltProgram.fakes.run(
      "measure", "plain", "--n", "8", "--head-dim", "4", "--repeats", "2", "--json", "--peak-gflops", "100")
    #expect(result.code == 0, "\(result.errors)")
    let object = try #require(
      JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    let text =
      "preset,experiment,variant,configuration,pass,batch,query_heads,key_heads,query_length,key_length,"
      + "head_dim,value_dim,causal,threads,isa,input,seed,status,reason,repeats,seconds_median,seconds_p20,"
      + "seconds_p80,flops,gflops,fraction_of_peak,density,plan_seconds,plan_bytes,workspace_bytes,peak_rss_bytes,"
      + "predicted_bytes,error_rel,cell_id,started_at,memory_bytes,padding_overhead,precision,error_oracle_rel,"
      + "state_bytes,ranks,messages,bytes_sent,seconds_waiting,kept_mass,seconds_choosing,quiet_repeats,machine,host,commit,program"
    #expect(Set(object.keys) == Set(text.split(separator: ",").map(String.init)))
    #expect(object["status"] as? String == "ok" && object["query_length"] as? Int == 8)
    #expect(((object["fraction_of_peak"] as? Double) ?? 0) > 0)
  }

  @Test(
    "what takes long says so before it begins, and nothing else does", arguments: [(1e-9, true), (1, false)])
  func longMeasurements(peak: Double, isLong: Bool) throws {
    // The peak that the forecast is told decides; the measurement itself takes milliseconds.
    let result = try BuiltProgram.attnlab.run(
      "measure", "full", "--n", "64", "--head-dim", "8", "--repeats", "1", "--peak-gflops", "\(peak)")
    #expect(result.code == 0)
    #expect(result.errorLines.count == (isLong ? 1 : 0), "\(result.errors)")
    #expect(result.errors.contains("attnlab measure: this will take about ") == isLong, "\(result.errors)")
  }

  @Test func aWrongVariantIsACheckThatFailed() throws {
    let result = try BuiltProgram.fakes.run(
      "measure", "wrong", "--n", "8", "--head-dim", "4", "--peak-gflops", "1")
    #expect(result.code == 1)
    #expect(result.errors.hasPrefix("attnlab measure: failed_check: wrong forward n=8: "))
  }
}
