/**
 * Keeps ONNX Runtime to itself. Since 1.30 the library records how it is used in the user's cache directory and uploads it,
 * unless this variable is set before it is loaded. Imported first, for its effect, by both doors; an operator's own
 * setting comes before ours.
 */
// biome-ignore lint/style/noProcessEnv: the only way to tell the library; nothing is read from the environment here
process.env.ORT_DISABLE_TELEMETRY ??= '1'
