// Whoever writes a variant declares its settings and draws from the key that it is given: one import gives both.
@_exported import Basics
@_exported import Settings
