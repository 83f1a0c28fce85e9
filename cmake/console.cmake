# Bundles the console's pages (console/) into three files, which src/api/console/assets.c has in it.
set(console_tools "${TRANCHE_DEPS}/console")
if(NOT EXISTS "${console_tools}/bin/esbuild")
  message(FATAL_ERROR "the console's bundler is missing in ${console_tools}: run scripts/setup")
endif()
set(console "${CMAKE_BINARY_DIR}/console")
file(GLOB_RECURSE console_sources CONFIGURE_DEPENDS console/*.js console/*.css)
add_custom_command(
  OUTPUT "${console}/app.js" "${console}/app.css"
  COMMAND "${CMAKE_COMMAND}" -E env "NODE_PATH=${console_tools}/node_modules"
          "${console_tools}/bin/esbuild" console/main.js --bundle --minify --format=esm --target=es2022
          --legal-comments=none --log-level=warning "--outfile=${console}/app.js"
  WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
  DEPENDS ${console_sources} "${console_tools}/bin/esbuild")
set(console_files "${console}/app.js" "${console}/app.css" "${CMAKE_SOURCE_DIR}/console/index.html"
                  "${CMAKE_SOURCE_DIR}/console/icon.svg")
set_source_files_properties(src/api/console/assets.c PROPERTIES
  OBJECT_DEPENDS "${console_files}"
  COMPILE_OPTIONS "-Wa,-I${console};-Wa,-I${CMAKE_SOURCE_DIR}/console")
