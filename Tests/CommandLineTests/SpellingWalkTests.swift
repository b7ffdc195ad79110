import Basics
import Foundation
import LabTestSupport
import Testing

@testable import AttentionLab

/// One spelling everywhere: flags in kebab-case, keys of JSON in snake_case. The walks go over every command.
@Suite("Spelling of flags and of JSON") struct SpellingWalkTests {
  /// What every command says of itself: its name and its arguments.
  private static func commands() throws -> [(name: String, arguments: [JSONValue])] {
    let dump = try BuiltProgram.attnlab.run("--experimental-dump-help")
    #expect(dump.code == 0)
    let root = try JSONValue(parsing: dump.output, file: "help")["command"]
    return [("", root["arguments"].arrayValue)]
      + root["subcommands"].arrayValue.map {
        ($0["commandName"].stringValue ?? "", $0["arguments"].arrayValue)
      }
  }

  private static func flags(of arguments: [JSONValue]) -> [String] {
    arguments.flatMap { $0["names"].arrayValue }.filter { $0["kind"].stringValue == "long" }
      .compactMap { $0["name"].stringValue }
  }

  @Test("every flag of every command is in kebab-case")
  func kebabCase() throws {
    let commands = try Self.commands()
    let names = Set(commands.map(\.name))
    #expect(Subcommands.all.allSatisfy { names.contains($0._commandName) })
    var count = 0
    for command in commands {
      for flag in Self.flags(of: command.arguments) {
        count += 1
        #expect(
          flag.wholeMatch(of: /[a-z][a-z0-9]*(-[a-z0-9]+)*/) != nil, "attnlab \(command.name) --\(flag)")
      }
    }
    #expect(count > 150, "\(count)")
  }

  /// Calls that print JSON, each command at least once, those with several shapes of an answer more often.
  static let calls = [
    "list", "list sliding-window", "list mqar", "list model", "list columns", "list windows", "list vit",
    "list power-offset", "list quickstart",
    "run tiny.yaml --out tiny", "run tiny.yaml --dry-run", "run taught.yaml --out taught",
    "run taught.yaml --dry-run",
    "status results/sweep", "merge results/sweep", "slurm quickstart", "slurm quickstart --submit --dry-run",
    "measure full --n 16", "measure full --n 16 --pass decode",
    "compare results/quickstart", "compare results/quickstart --metric time",
    "compare results/quickstart --pareto error,seconds", "compare results/published/variants-text",
    "compare results/published/variants-text --pareto loss,seconds",
    "compare new.csv --against old.csv", "mask sliding-window --n 16", "mask lsh --q q.npy",
    "apply chunked --q q.npy --k k.npy --v v.npy --out o.npy --against full",
    "check full --quick --isa portable", "bench --dry-run",
    "train mqar --steps 1 --set training.evaluation_batches=1 --checkpoint taught-once",
    "train mqar --time 1", "forward --checkpoint m.safetensors --tokens t.npy --targets y.npy --loss",
    "generate --checkpoint gpt2 --tokens ids.npy --count 2",
    "swap --checkpoint gpt2 --variant full --tokens ids.npy --stats",
    "text notes.txt --way 'extract(method=tfidf, tokens=300)' --question noted",
    "text notes.txt --way 'retrieve(count=2, passage=200)' --question noted",
    "text notes.txt --way 'windows(length=32, stride=16)' --checkpoint m.safetensors",
    "task mqar --examples 4 --set length=64 --set pairs=4 --set vocabulary=32 --out few.npz",
    "grade mqar.npz answers.npy",
    "fit times.csv --x n --y seconds --by variant --form power-offset --predict n=99999 --crossovers --calibrate 20",
    "fit times.csv --x n --y seconds --form auto --where variant==\"'full'\"",
    "fit runs.csv --x N,D --y loss --form chinchilla --budget 1e21 --predict N=1e9,D=1e11",
    "plot results/quickstart", "report results/quickstart", "doctor",
  ]

  /// Members whose keys are names that users or formulas choose, or paths of settings.
  private static let named: Set<String> = [
    "parameters", "recipe", "at", "settings", "held_out_settings", "variables",
  ]

  @Test("every command has --json, and its keys are in snake_case")
  func snakeCase() async throws {
    let having = try Self.commands().filter { Self.flags(of: $0.arguments).contains("json") }.map(\.name)
    let called = Set(Self.calls.map { $0.split(separator: " ")[0] }.map(String.init))
    for command in Subcommands.all {
      #expect(having.contains(command._commandName), "\(command._commandName) has no --json")
      #expect(called.contains(command._commandName), "\(command._commandName) is not among the calls")
    }
    let folder = try ExampleFolder()
    _ = try folder.scratch.write("tiny.yaml", "n: [16, 24]\nvariants: [full]\nthreads: 1\nrepeats: 1\n")
    _ = try folder.scratch.write(
      "taught.yaml",
      "experiment: training\ntask: {id: mqar, length: 16, vocabulary: 16, pairs: 2}\n"
        + "model: {width: [8, 16], layers: 1, heads: 1}\ntraining: {steps: 2, batch: 2, evaluation_batches: 1}\n"
    )
    for call in Self.calls {
      let result = try await BuiltProgram.attnlab.finishedShell(
        "attnlab \(call) --json", in: folder.scratch.path)
      #expect(result.code == 0, "\(call): \(result.errors)")
      guard let answer = try? JSONValue(parsing: result.output, file: call) else {
        Issue.record("\(call): no JSON: \(result.output.prefix(200))")
        continue
      }
      for path in Self.misspelt(answer, at: "") { Issue.record("attnlab \(call) --json: \(path)") }
    }
  }

  private static func misspelt(_ value: JSONValue, at path: String) -> [String] {
    switch value {
    case .array(let items): return items.flatMap { misspelt($0, at: path) }
    case .object(let members):
      return members.flatMap { member -> [String] in
        let place = "\(path)/\(member.key)"
        let isRight = member.key.wholeMatch(of: /[a-z][a-z0-9]*(_[a-z0-9]+)*/) != nil
        // A matrix whose rows and columns are such names.
        if member.key == "correlation" { return [] }
        // Below a list of declarations stand the declarations' own keys again.
        if named.contains(member.key), case .object(let own) = member.value {
          return (isRight ? [] : [place]) + own.flatMap { misspelt($0.value, at: "\(place)/\($0.key)") }
        }
        return (isRight ? [] : [place]) + misspelt(member.value, at: place)
      }
    default: return []
    }
  }
}
