import Basics
import Testing

@testable import AttentionLab

@Suite struct ParserMessageTests {
  @Test("A message of the parser that is read no more is shown as it stands")
  func otherMessages() {
    #expect(ParserMessage.line("Unknown option '--x'\nmore").text == "Unknown option '--x'")
    #expect(ParserMessage.line("The value 'x' is invalid for '--n <n>'").isComplete == false)
  }
}
