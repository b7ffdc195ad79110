import Foundation
import LabTestSupport
import Testing

/// A variant with a learned vector and an input of its own is one file outside this package: the script beside it runs every
/// subcommand.
@Suite struct CustomVariantTests {
  @Test("every subcommand works with a variant from outside")
  func everySubcommand() async throws {
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Experiments/CustomVariant/check.sh").standardized.path
    let scratch = try Scratch()
    let result = try await BuiltProgram.custom.finishedShell(
      "bash '\(script)' '\(BuiltProgram.custom.absolutePath)'", in: scratch.path)
    #expect(result.code == 0, "\(result.output.suffix(2000))\n\(result.errors)")
  }
}
