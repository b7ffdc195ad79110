import ArgumentParser
import AttentionCore
import Laboratory
import Tensors

/// `attnlab doctor`: what this machine has, and what is missing.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Show processor, instruction set, measured peak and bandwidth, tools; say what is missing.",
    discussion: """
      Example:
        attnlab doctor
        attnlab doctor --json
      """)

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    print("processors: \(Parallel.processorCount)")
    print("instruction set: \(InstructionSet.default)")
  }
}
