/// Settings as a name shows them: `left=64` beside `right=64` is `window=64`, which is how both are set at once.
package func settingWords(_ settings: [String]) -> [String] {
  guard let left = settings.firstIndex(where: { $0.hasPrefix("left=") }),
    let right = settings.firstIndex(where: { $0.hasPrefix("right=") }),
    settings[left].dropFirst("left=".count) == settings[right].dropFirst("right=".count)
  else { return settings }
  var words = settings
  words[left] = "window=" + settings[left].dropFirst("left=".count)
  words.remove(at: right)
  return words
}
