# Finds what tranche is built from, and ends the configuration with one list of everything that is missing
# and how to get it. Defines the targets PkgConfig::NAME, yyjson and, with TRANCHE_LOCAL, llama.
#
#   TRANCHE_DEPS    folder that scripts/setup filled with llama.cpp, yyjson and the default model.
#                   Default: $TRANCHE_DEPS, or the last one that scripts/setup made.
#   TRANCHE_LLAMA   instead of it, a llama.cpp that is there: a folder it was installed to, or its
#                   sources with a build/ in them. yyjson then comes from the system.

set(cache "$ENV{TRANCHE_CACHE}")
if(NOT cache AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(cache "$ENV{XDG_CACHE_HOME}/tranche")
elseif(NOT cache)
  set(cache "$ENV{HOME}/.cache/tranche")
endif()
set(TRANCHE_DEPS "$ENV{TRANCHE_DEPS}" CACHE PATH "Folder that scripts/setup filled: include/, lib/, models/")
set(TRANCHE_LLAMA "" CACHE PATH "A llama.cpp to use: where it is installed, or its sources with a build/")
if(NOT TRANCHE_DEPS AND EXISTS "${cache}/deps/lib")
  get_filename_component(deps "${cache}/deps" REALPATH)
  set(TRANCHE_DEPS "${deps}" CACHE PATH "Folder that scripts/setup filled: include/, lib/, models/" FORCE)
endif()
set(TRANCHE_MODELS "" CACHE PATH "Folder of models that the program looks in; default: TRANCHE_DEPS/models")
if(NOT TRANCHE_MODELS AND TRANCHE_DEPS)
  set(TRANCHE_MODELS "${TRANCHE_DEPS}/models")
elseif(NOT TRANCHE_MODELS)
  set(TRANCHE_MODELS "${cache}/deps/models")
endif()

# Forget what was found elsewhere when another place is named.
set(places "${TRANCHE_LLAMA}|${TRANCHE_DEPS}")
if(NOT places STREQUAL TRANCHE_FOUND_IN)
  foreach(name DUCKDB_INCLUDE YYJSON_INCLUDE YYJSON_LIBRARY LLGUIDANCE_INCLUDE LLGUIDANCE_LIBRARY LLAMA_LLAMA_H LLAMA_GGML_H LLAMA_COMMON_H LLAMA_JSON_H
               LLAMA_LIB_MTMD LLAMA_MTMD_H LLAMA_LIB_LLAMA
               LLAMA_LIB_LLAMA-COMMON LLAMA_LIB_LLAMA-COMMON-BASE LLAMA_LIB_GGML
               LLAMA_LIB_GGML-CPU LLAMA_LIB_GGML-BASE LLAMA_LIB_CPP-HTTPLIB)
    unset(${name} CACHE)
  endforeach()
  set(TRANCHE_FOUND_IN "${places}" CACHE INTERNAL "")
endif()

set(missing "")
set(packages "")
# missing(WHAT HOW [PACKAGE]): a line of the list at the end; the package for apt.
macro(missing what how)
  string(APPEND missing "  ${what}: ${how}\n")
  list(APPEND packages ${ARGN})
endmacro()

# The system's libraries, by pkg-config: name of the target, condition, package of Debian and Ubuntu.
set(system
  "SQLITE|sqlite3>=3.40|libsqlite3-dev"
  "PQ|libpq>=15|libpq-dev"
  "YAML|yaml-0.1>=0.2|libyaml-dev"
  "XXHASH|libxxhash>=0.8|libxxhash-dev"
  "PCRE2|libpcre2-8>=10.40|libpcre2-dev"
  "MICROHTTPD|libmicrohttpd>=0.9.75|libmicrohttpd-dev"
  "CURL|libcurl>=7.88|libcurl4-openssl-dev"
  "CRYPTO|libcrypto>=3.0|libssl-dev"
  "ZLIB|zlib>=1.2|zlib1g-dev"
  "ZSTD|libzstd>=1.4|libzstd-dev"
  "SECCOMP|libseccomp>=2.5|libseccomp-dev"
  # Headers only: the libraries are loaded when media are decoded (src/predict/media).
  "AVFORMAT|libavformat>=59|libavformat-dev"
  "AVCODEC|libavcodec>=59|libavcodec-dev"
  "SWSCALE|libswscale>=6|libswscale-dev"
  "SWRESAMPLE|libswresample>=4|libswresample-dev")
find_package(Threads REQUIRED)
find_package(PkgConfig)
if(NOT PkgConfig_FOUND)
  missing("pkg-config" "apt package pkg-config; without it no other library is found" pkg-config)
else()
  foreach(row ${system})
    string(REPLACE "|" ";" row "${row}")
    list(GET row 0 target)
    list(GET row 1 condition)
    list(GET row 2 package)
    pkg_check_modules(${target} QUIET IMPORTED_TARGET "${condition}")
    if(NOT ${target}_FOUND)
      missing("${condition}" "apt package ${package}" ${package})
    endif()
  endforeach()
endif()

# libmicrohttpd before 0.9.76 answers a malformed Content-Length twice. src/net/server/head.c mends that from
# inside, which only a static library allows.
add_library(microhttpd INTERFACE)
set(wrapped OFF)
if(MICROHTTPD_FOUND AND MICROHTTPD_VERSION VERSION_LESS 0.9.76)
  find_library(MICROHTTPD_ARCHIVE libmicrohttpd.a HINTS ${MICROHTTPD_LIBRARY_DIRS})
  pkg_check_modules(GNUTLS QUIET IMPORTED_TARGET gnutls)
  if(MICROHTTPD_ARCHIVE AND GNUTLS_FOUND)
    set(wrapped ON)
  else()
    message(STATUS "libmicrohttpd ${MICROHTTPD_VERSION} will answer a malformed Content-Length twice: \
libmicrohttpd.a or gnutls is missing (apt package libgnutls28-dev)")
  endif()
endif()
if(wrapped)
  target_include_directories(microhttpd SYSTEM INTERFACE ${MICROHTTPD_INCLUDE_DIRS})
  target_link_libraries(microhttpd INTERFACE "${MICROHTTPD_ARCHIVE}" PkgConfig::GNUTLS)
  target_link_options(microhttpd INTERFACE -Wl,--wrap=MHD_str_to_uint64_n_)
  target_compile_definitions(microhttpd INTERFACE TRANCHE_MHD_WRAPPED)
elseif(MICROHTTPD_FOUND)
  target_link_libraries(microhttpd INTERFACE PkgConfig::MICROHTTPD)
endif()

# yyjson: of TRANCHE_DEPS, or the system's.
find_path(YYJSON_INCLUDE yyjson.h HINTS "${TRANCHE_DEPS}/include")
find_library(YYJSON_LIBRARY yyjson HINTS "${TRANCHE_DEPS}/lib")
add_library(yyjson INTERFACE)
if(YYJSON_INCLUDE AND YYJSON_LIBRARY)
  target_include_directories(yyjson SYSTEM INTERFACE "${YYJSON_INCLUDE}")
  target_link_libraries(yyjson INTERFACE "${YYJSON_LIBRARY}")
else()
  missing("yyjson" "scripts/setup compiles it; or package libyyjson-dev where the system has it")
endif()

# DuckDB: its header; the library is loaded when a table is first used.
find_path(DUCKDB_INCLUDE duckdb.h HINTS "${TRANCHE_DEPS}/include")
add_library(duckdb INTERFACE)
if(DUCKDB_INCLUDE)
  target_include_directories(duckdb SYSTEM INTERFACE "${DUCKDB_INCLUDE}")
  target_link_libraries(duckdb INTERFACE ${CMAKE_DL_LIBS})
  set(TRANCHE_DUCKDB "${TRANCHE_DEPS}/lib/libduckdb.so" CACHE FILEPATH "The library of DuckDB that the program loads")
  target_compile_definitions(duckdb INTERFACE
    TRANCHE_DUCKDB="$<IF:$<BOOL:${TRANCHE_PORTABLE}>,/usr/lib/tranche/libduckdb.so,${TRANCHE_DUCKDB}>")
else()
  missing("DuckDB's header" "scripts/setup fetches it")
endif()

# llguidance: which tokens may follow when an answer must match a schema.
find_path(LLGUIDANCE_INCLUDE llguidance.h HINTS "${TRANCHE_DEPS}/include")
find_library(LLGUIDANCE_LIBRARY llguidance HINTS "${TRANCHE_DEPS}/lib")
add_library(llguidance INTERFACE)
if(LLGUIDANCE_INCLUDE AND LLGUIDANCE_LIBRARY)
  target_include_directories(llguidance SYSTEM INTERFACE "${LLGUIDANCE_INCLUDE}")
  target_link_libraries(llguidance INTERFACE "${LLGUIDANCE_LIBRARY}" ${CMAKE_DL_LIBS} m)
else()
  missing("llguidance" "scripts/setup compiles it, with Rust 1.87 or newer")
endif()

# llama.cpp: llama, ggml, for chat templates llama-common, and for images and sound mtmd.
if(TRANCHE_LOCAL)
  set(places "${TRANCHE_DEPS}")
  set(only "")
  if(TRANCHE_LLAMA)
    set(places "${TRANCHE_LLAMA}" "${TRANCHE_LLAMA}/ggml" "${TRANCHE_LLAMA}/build"
               "${TRANCHE_LLAMA}/build/src" "${TRANCHE_LLAMA}/build/ggml/src"
               "${TRANCHE_LLAMA}/build/common" "${TRANCHE_LLAMA}/build/vendor/cpp-httplib"
               "${TRANCHE_LLAMA}/tools/mtmd" "${TRANCHE_LLAMA}/build/tools/mtmd")
    set(only NO_DEFAULT_PATH)
  endif()
  find_path(LLAMA_LLAMA_H llama.h HINTS ${places} PATH_SUFFIXES include ${only})
  find_path(LLAMA_GGML_H ggml.h HINTS ${places} PATH_SUFFIXES include ${only})
  find_path(LLAMA_JSON_H nlohmann/json.hpp HINTS ${places} PATH_SUFFIXES include vendor ${only})
  find_path(LLAMA_COMMON_H chat.h HINTS ${places} ${only}
            PATH_SUFFIXES include/common common include/llama-common)
  find_path(LLAMA_MTMD_H mtmd.h HINTS ${places} ${only} PATH_SUFFIXES include)
  set(llama_libs "")
  set(llama_lacks "")
  foreach(lib mtmd llama-common llama-common-base llama ggml ggml-cpu ggml-base cpp-httplib)
    string(TOUPPER "LLAMA_LIB_${lib}" variable)
    find_library(${variable} ${lib} HINTS ${places} PATH_SUFFIXES lib bin ${only})
    if(${variable})
      list(APPEND llama_libs "${${variable}}")
    elseif(lib MATCHES "^(mtmd|llama-common|llama|ggml|ggml-base)$")
      list(APPEND llama_lacks "lib${lib}")
    endif()
  endforeach()
  foreach(header LLAMA_H GGML_H COMMON_H JSON_H MTMD_H)
    if(NOT LLAMA_${header})
      set(LLAMA_H llama.h)
      set(GGML_H ggml.h)
      set(COMMON_H common/chat.h)
      set(JSON_H nlohmann/json.hpp)
      set(MTMD_H mtmd.h)
      list(APPEND llama_lacks "${${header}}")
    endif()
  endforeach()
  if(llama_lacks)
    list(JOIN llama_lacks ", " llama_lacks)
    if(TRANCHE_LLAMA)
      set(llama_how "${TRANCHE_LLAMA} has no ${llama_lacks}; give llama.cpp's sources with a build/ in them")
    else()
      set(llama_how "scripts/setup compiles it; or -DTRANCHE_LLAMA=DIR for one that is there; or \
-DTRANCHE_LOCAL=OFF to build without the embedded engine")
    endif()
    missing("llama.cpp" "${llama_how}")
  endif()
  add_library(llama INTERFACE)
  target_include_directories(llama SYSTEM INTERFACE "${LLAMA_LLAMA_H}" "${LLAMA_GGML_H}"
                             "${LLAMA_JSON_H}" "${LLAMA_MTMD_H}")
  if(LLAMA_LIB_CPP-HTTPLIB)
    list(APPEND llama_libs ssl crypto)
  endif()
  target_link_libraries(llama INTERFACE -Wl,--start-group ${llama_libs} -Wl,--end-group -l:libgomp.a
                        ${CMAKE_DL_LIBS})
endif()

if(missing)
  set(advice "scripts/setup installs and compiles all of it.\n")
  if(packages)
    list(JOIN packages " " packages)
    string(APPEND advice "The packages alone, on Debian or Ubuntu:\n  sudo apt-get install ${packages}\n")
  endif()
  message(FATAL_ERROR "tranche cannot be built yet. Missing:\n${missing}\n${advice}")
endif()
